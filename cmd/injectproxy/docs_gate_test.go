package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
)

// gateFile is the beginning of a block of a page that is a gate.toml, or what may
// be added to the first one there.
const gateFile = "# gate.toml"

// pageOfTheGate returns the page of the gate.
func pageOfTheGate(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/gate.md")
	must(t, err)
	return string(b)
}

// gateConfigs returns the first gate.toml of the page, and that with each of the
// others added which are not complete by themselves.
func gateConfigs(t testing.TB) (list []string) {
	t.Helper()
	for _, f := range fences("docs/gate.md", pageOfTheGate(t)) {
		switch {
		case f.info != "toml":
		case len(list) == 0:
			list = append(list, f.text)
		case strings.HasPrefix(f.text, gateFile+"\n"):
		default:
			list = append(list, list[0]+f.text)
		}
	}
	return list
}

// section returns the part of a page below a heading.
func section(t testing.TB, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// The files of the pages are complete, and check has nothing to say of them.
func TestConfigurationsOfTheGateAreWithoutProblems(t *testing.T) {
	t.Parallel()
	list := gateConfigs(t)
	if len(list) < 2 {
		t.Fatalf("%d configurations: the search does not find them", len(list))
	}
	for name, page := range pages(t) {
		for _, f := range fences(name, page) {
			if strings.HasPrefix(f.text, gateFile+"\n") {
				list = append(list, f.text)
			}
		}
	}
	for _, text := range list {
		file := filepath.Join(t.TempDir(), "gate.toml")
		writeTestFile(t, file, text)
		if _, problems := config.LoadGate(file); len(problems) > 0 {
			t.Errorf("%v in\n%s", problems, text)
		}
	}
}

// What the pages show of explain is what it prints for the first file there.
func TestExplanationsOfThePagesAreTheGates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gate.toml")
	writeTestFile(t, file, gateConfigs(t)[0])
	found := 0
	for name, page := range pages(t) {
		for _, f := range fences(name, page) {
			line, want, _ := strings.Cut(f.text, "\n")
			args, ok := strings.CutPrefix(line, "$ injectproxy gate ")
			if !ok {
				continue
			}
			found++
			var out bytes.Buffer
			root := newRootCommand(&globals{})
			root.SetOut(&out)
			root.SetArgs(append([]string{"gate", "--config", file}, strings.Fields(args)...))
			must(t, root.ExecuteContext(t.Context()))
			if got := strings.ReplaceAll(out.String(), file, "gate.toml"); got != want {
				t.Errorf("%s shows\n%s, and printed is\n%s", f.place, want, got)
			}
		}
	}
	if found == 0 {
		t.Error("the search finds none")
	}
}

// reasonRow is a row of the table of what clients see: what is wrong, the status,
// the reason.
var reasonRow = regexp.MustCompile("(?m)^\\| ([^|]+) \\| ([^|]+) \\| `([a-z-]+)` \\|")

func TestReasonsOnThePageOfTheGateAreAllThatThereAre(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, m := range reasonRow.FindAllStringSubmatch(section(t, pageOfTheGate(t), "What clients see"), -1) {
		named[m[3]] = true
	}
	for _, word := range gate.Denials() {
		if !named[word] {
			t.Errorf("the page does not name %s", word)
		}
		delete(named, word)
	}
	for word := range named {
		t.Errorf("there is no reason %s", word)
	}
}

// The status that the page has for a reason is the one that explain comes to.
func TestStatusesOnThePageOfTheGateAreItsOwn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gate.toml")
	writeTestFile(t, file, gateConfigs(t)[1]) // with a route for applications
	cfg, problems := config.LoadGate(file)
	if cfg == nil {
		t.Fatal(problems)
	}
	page := section(t, pageOfTheGate(t), "What clients see")
	user, application := &imagined{scopes: []string{"access_as_user"}}, &imagined{roles: []string{"Other"}}
	for _, c := range []struct {
		place, method, tool string
		caller              *imagined
		reason, begins      string
	}{
		{"/mcp", "POST", "", &imagined{anonymous: true}, "no-token", "401, where to get one"},
		{"/mcp", "POST", "cost_export", user, "scope", "403 `insufficient_scope`"},
		{"/mcp", "POST", "", &imagined{scopes: []string{"other"}}, "scope", "403 `insufficient_scope`"},
		{"/jobs", "POST", "", user, "role", "200, JSON-RPC error"},
		{"/jobs", "POST", "", application, "role", "200, JSON-RPC error"},
		{"/mcp", "POST", "", &imagined{}, "no-permission", "200, JSON-RPC error"},
		{"/mcp", "POST", "other", user, "unmapped", "200, JSON-RPC error"},
		{"http://other.example/mcp", "POST", "", user, "host", "421"},
		{"/other", "POST", "", user, "path", "404"},
	} {
		u, err := gateTarget(cfg, c.place)
		must(t, err)
		q := gateQuestion{method: c.method, url: u, caller: c.caller}
		if c.tool != "" {
			q.kind, q.name = gate.Tool, c.tool
		}
		e, err := explainGate(cfg, q)
		must(t, err)
		shown := ""
		for _, m := range reasonRow.FindAllStringSubmatch(page, -1) {
			if m[3] == c.reason && strings.HasPrefix(m[2], c.begins) {
				shown = m[2]
			}
		}
		if e.Denied != c.reason || !strings.HasPrefix(shown, fmt.Sprint(e.Status)) {
			t.Errorf("%+v: %d, %s, and the page has %q", c, e.Status, e.Denied, shown)
		}
	}
}

// exampleKey is a key, or a table, of gate.example.toml, in use or not.
var exampleKey = regexp.MustCompile(`(?m)^(?:# )?(?:(\w+) += |(\[\[?[\w.]+\]\]?))`)

// Each key of the example stands in the page's table, under its own table, and
// none besides.
func TestKeysOnThePageOfTheGateAreThoseOfTheExample(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../gate.example.toml")
	must(t, err)
	want, table := map[string]bool{}, "top"
	for _, m := range exampleKey.FindAllStringSubmatch(string(b), -1) {
		if m[2] != "" {
			table = "`" + m[2] + "`"
		} else if !hasPatterns(table) {
			want[table+" "+m[1]] = true
		}
	}
	got := map[string]bool{}
	for row := range strings.Lines(section(t, pageOfTheGate(t), "Every key")) {
		cells := strings.Split(row, "|")
		if len(cells) != 4 || hasPatterns(strings.TrimSpace(cells[1])) {
			continue
		}
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[2], -1) {
			got[strings.TrimSpace(cells[1])+" "+m[1]] = true
		}
	}
	if !maps.Equal(got, want) || len(want) < 30 {
		t.Errorf("the page has %d keys:\n%q\nthe example %d:\n%q", len(got), slices.Sorted(maps.Keys(got)), len(want), slices.Sorted(maps.Keys(want)))
	}
}

// hasPatterns reports whether the keys of a table are whatever the user names.
func hasPatterns(table string) bool {
	return strings.HasPrefix(table, "`[route.") && table != "`[route.on_behalf_of]`"
}

// gateSource is the source of all that a gate says.
func gateSource(t testing.TB) string {
	t.Helper()
	var source strings.Builder
	for _, dir := range []string{".", "../../internal/gate", "../../internal/verify", "../../internal/config", "../../internal/exchange", "../../internal/binding"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, f := range files {
			if !strings.HasSuffix(f, "_test.go") {
				b, err := os.ReadFile(f)
				must(t, err)
				source.Write(b)
			}
		}
	}
	return source.String()
}

// What the page says that the gate says is what the program says.
func TestMessagesOnThePageOfTheGateAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	source := gateSource(t)
	messages := bridgeMessage.FindAllStringSubmatch(section(t, pageOfTheGate(t), "When something is wrong"), -1)
	if len(messages) < 20 {
		t.Errorf("%d messages: the search does not find them", len(messages))
	}
	for _, m := range messages {
		for part := range strings.SplitSeq(m[1]+"…"+m[2], "…") {
			if !strings.Contains(source, strings.Trim(part, ": ")) {
				t.Errorf("the program never says %q", part)
			}
		}
	}
}

// The line of a gate's audit that the page shows has words that the gate has.
func TestAuditLineOfTheGateOnItsPageCouldBeWritten(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/telemetry.md")
	must(t, err)
	found := 0
	for _, f := range fences("docs/telemetry.md", section(t, string(b), "The gate")) {
		if f.info != "json" {
			continue
		}
		found++
		var line struct{ Decision, Reason, Problem string }
		must(t, json.Unmarshal([]byte(f.text), &line))
		if line.Decision != "denied" || !slices.Contains(gate.Denials(), line.Reason) || !strings.Contains(gateSource(t), `"`+line.Problem+`"`) {
			t.Errorf("%+v", line)
		}
	}
	if found != 1 {
		t.Errorf("%d lines", found)
	}
}
