package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promise is a test that a page names, with the file that the page says it is
// in, relative to the root.
type promise struct{ test, file string }

var (
	// testName is what go test runs, wherever a page mentions one.
	testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	// linkedTest is the form in which a page names one.
	linkedTest = regexp.MustCompile(`\[((?:Test|Fuzz)[A-Z]\w*)\]\(([^)]+)\)`)
)

// promises returns the tests that a page links, and complains of those that it
// names without saying where they are.
func promises(name, page string) (list []promise, err error) {
	for _, m := range linkedTest.FindAllStringSubmatch(page, -1) {
		list = append(list, promise{m[1], path.Join(path.Dir(name), m[2])})
	}
	rest := linkedTest.ReplaceAllString(page, "")
	if bare := testName.FindString(rest); bare != "" {
		err = fmt.Errorf("%s names %s and no file", name, bare)
	}
	return list, err
}

// holds reports whether the file has the test, for go test to run.
func (p promise) holds(tree string) bool {
	b, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(p.file)))
	return err == nil && strings.HasSuffix(p.file, "_test.go") &&
		regexp.MustCompile(`(?m)^func `+p.test+`\(\w+ \*testing\.[TF]\) \{`).Match(b)
}

// Every promise has a test, and every test that is named is there.
func TestThreatModelNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	found := 0
	for _, name := range []string{"SECURITY.md", "docs/threat-model.md"} {
		b, err := os.ReadFile("../../" + name)
		must(t, err)
		list, err := promises(name, string(b))
		if err != nil {
			t.Error(err)
		}
		for _, p := range list {
			if found++; !p.holds("../..") {
				t.Errorf("%s: %s has no %s", name, p.file, p.test)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d promises: the search does not find them", found)
	}
}

// attackers are the sections of the threat model, from its first attacker to
// its last word about secrets.
var attackers = []string{
	"Another user of the machine", "A hostile web page", "An agent that was talked into something", "A caller of the gate", "Who reaches the Redis of the gates", "A hostile upstream",
	"The author of a hostile team file", "A thief of the CA's directory", "Somebody in the network", "A hostile upstream proxy",
	"A compromised dependency", "Secrets in memory",
}

// Whatever is promised against an attacker has a test, paragraph by paragraph,
// and what is not promised is said.
func TestThreatModelPromisesNothingWithoutATest(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/threat-model.md")
	must(t, err)
	for _, title := range attackers {
		_, section, ok := strings.Cut(string(b), "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		points := strings.Split(section, "\n- ")[1:]
		if !ok || len(points) == 0 {
			t.Errorf("nothing is promised against: %s", title)
		}
		for _, point := range points {
			point, _, _ = strings.Cut(point, "\n\n")
			if !linkedTest.MatchString(point) {
				t.Errorf("%s: no test holds: %s", title, point)
			}
		}
		if !strings.Contains(section, "\nNot promised") && title != "A compromised dependency" {
			t.Errorf("%s: it is not said what is not promised", title)
		}
	}
}

func TestPromisesOfAPageAreFound(t *testing.T) {
	t.Parallel()
	list, err := promises("docs/p.md", "- a: [TestOne](../cmd/a_test.go),\n  [FuzzTwo](b_test.go). SECURITYTest, Testing")
	if err != nil || len(list) != 2 || list[0] != (promise{"TestOne", "cmd/a_test.go"}) || list[1] != (promise{"FuzzTwo", "docs/b_test.go"}) {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := promises("p.md", "held by TestOne"); err == nil {
		t.Error("a test without a file passes")
	}
	here := promise{"TestPromisesOfAPageAreFound", "threatmodel_test.go"}
	if !here.holds(".") || (promise{"TestPromises", here.file}).holds(".") || (promise{here.test, "docs_test.go"}).holds(".") {
		t.Error("whether a test is there is not seen")
	}
}
