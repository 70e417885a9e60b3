package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exposed are the subjects that are fuzzed in every run of .ci/run, with the
// targets that each has at least.
var exposed = map[string][]string{
	"prefixes":                 {"match/FuzzParsePrefix"},
	"matching":                 {"match/FuzzLookup", "match/FuzzLookupBuiltPaths"},
	"configuration":            {"config/FuzzLoad", "config/FuzzLoadGate"},
	"expiry of a JWT":          {"source/FuzzExpiry"},
	"challenge for claims":     {"challenge/FuzzChallenge"},
	"output of az":             {"source/FuzzCommandOutput"},
	"replay buffer":            {"replay/FuzzBody"},
	"MCP messages":             {"jsonrpc/FuzzParse", "session/FuzzTracking"},
	"intercepted HTTP/1 bytes": {"proxy/FuzzIntercepted"},
	"client of the bridge":     {"stdio/FuzzBridge", "stdio/FuzzModernHeaders"},
	"server of the bridge":     {"stdio/FuzzLocation", "stdio/FuzzFilterTools"},
	"tokens of callers":        {"verify/FuzzVerify"},
	"signing keys":             {"verify/FuzzKeys"},
	"client of the gate":       {"gate/FuzzCredentials", "gate/FuzzPath", "gate/FuzzJudge", "gate/FuzzSessionNames"},
	"browser before a sign-in": {"gate/FuzzAuthorize"},
	"server behind the gate":   {"gate/FuzzScreen"},
	"answers of Entra":         {"exchange/FuzzRefusal", "exchange/FuzzGranted"},
	"what Redis has":           {"binding/FuzzBindingValue"},
}

var (
	fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	fuzzList   = regexp.MustCompile(`(?ms)^fuzzed=\(\n(.*?)^\)`)
)

// fuzzTargets returns the targets of all packages as "package/FuzzName".
func fuzzTargets(t *testing.T) (targets []string) {
	files, err := filepath.Glob("*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fuzzTarget.FindAllSubmatch(text, -1) {
			targets = append(targets, filepath.ToSlash(filepath.Dir(file))+"/"+string(m[1]))
		}
	}
	return targets
}

func TestExposedSubjectsAreFuzzedInEveryRun(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	list := fuzzList.FindSubmatch(script)
	if list == nil {
		t.Fatal(".ci/run has no list of what is fuzzed")
	}
	run, all := strings.Fields(string(list[1])), fuzzTargets(t)
	for _, target := range run {
		if !slices.Contains(all, target) {
			t.Errorf(".ci/run fuzzes %s, which there is not", target)
		}
	}
	for subject, targets := range exposed {
		for _, target := range targets {
			if !slices.Contains(run, target) {
				t.Errorf("%s: .ci/run does not fuzz %s", subject, target)
			}
		}
	}
}

func TestEveryFuzzTargetHasACorpus(t *testing.T) {
	t.Parallel()
	for _, target := range fuzzTargets(t) {
		pkg, name, _ := strings.Cut(target, "/")
		if corpus, _ := os.ReadDir(filepath.Join(pkg, "testdata", "fuzz", name)); len(corpus) < 3 {
			t.Errorf("%s has a corpus of %d inputs", target, len(corpus))
		}
	}
}
