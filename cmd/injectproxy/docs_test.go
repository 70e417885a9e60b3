package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// fence is a fenced block of a page.
type fence struct {
	place  string // FILE:LINE
	info   string // what stands behind the opening fence, "" for nothing
	text   string
	reason string // why it is not run, from the comment before it
}

// notRun is the comment before a block whose commands cannot run in a test.
var notRun = regexp.MustCompile(`^\s*<!-- not run: (\S.*) -->$`)

// fences returns the blocks of a page.
func fences(name, page string) []fence {
	var list []fence
	var open *fence
	reason := ""
	for i, line := range strings.Split(page, "\n") {
		indented := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(indented, "```"):
			open = &fence{place: fmt.Sprintf("%s:%d", name, i+1), info: strings.TrimPrefix(indented, "```"), reason: reason}
		case open != nil && indented == "```":
			list = append(list, *open)
			open, reason = nil, ""
		case open != nil:
			open.text += line + "\n"
		case notRun.MatchString(line):
			reason = notRun.FindStringSubmatch(line)[1]
		default:
			reason = ""
		}
	}
	return list
}

// inert reports whether the block has no commands: a configuration, or a picture
// or output without any.
func (f fence) inert() bool {
	switch f.info {
	case "toml", "ini", "json":
		return true
	}
	return f.info == "" && !shown.MatchString(f.text)
}

// shown is a line of a block that is a command.
var shown = regexp.MustCompile(`(?m)^ *(\$ |# |injectproxy )`)

// pages returns README and what is in docs, by name.
func pages(t testing.TB) map[string]string {
	t.Helper()
	names, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	all := map[string]string{}
	for _, name := range append(names, "../../README.md", "../../docs/clients/README.md") {
		b, err := os.ReadFile(name)
		must(t, err)
		all[strings.TrimPrefix(filepath.ToSlash(name), "../../")] = string(b)
	}
	return all
}

func TestFencesOfAPageAreFound(t *testing.T) {
	t.Parallel()
	page := "a\n```sh\ntrue\n```\n<!-- not run: needs macOS -->\n```sh\nfalse\n```\n  ```toml\n  a = 1\n  ```\n<!-- not run: x -->\n\n```\n$ ls\n```\n"
	want := []fence{
		{"p:2", "sh", "true\n", ""}, {"p:6", "sh", "false\n", "needs macOS"},
		{"p:9", "toml", "  a = 1\n", ""}, {"p:14", "", "$ ls\n", ""},
	}
	got := fences("p", page)
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, inert := range []bool{false, false, true, false} {
		if got[i].inert() != inert {
			t.Errorf("%+v is inert: %v", got[i], !inert)
		}
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// Links between the pages, and to files of the repository, lead somewhere.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	found := 0
	for name, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			target := filepath.Join("../..", filepath.Dir(name), m[1])
			if m[1] == "" {
				target = filepath.Join("../..", name)
			}
			b, err := os.ReadFile(target)
			if _, missing := os.Stat(target); missing != nil {
				t.Errorf("%s: %s is not there", name, m[1])
			} else if err == nil && m[2] != "" && !hasHeading(string(b), m[2]) {
				t.Errorf("%s: %s has no heading for #%s", name, m[1], m[2])
			}
		}
	}
	if found < 10 {
		t.Errorf("%d links: the search does not find them", found)
	}
}

// hasHeading reports whether a page has a heading to which anchor leads.
func hasHeading(page, anchor string) bool {
	unwanted := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(page) {
		if title := strings.TrimLeft(line, "#"); len(title) < len(line) {
			title = unwanted.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			if strings.ReplaceAll(title, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}

// elsewhere are the errors of a configuration that is shown in part: what it
// names stands elsewhere.
var elsewhere = regexp.MustCompile(`audience "(gateway|models)" is not defined|there is no rule "tools"|"corporate-root.pem" cannot be read`)

// Each configuration of the pages is one that the program takes.
func TestConfigurationsOfThePagesAreValid(t *testing.T) {
	t.Parallel()
	found := 0
	for name, page := range pages(t) {
		for _, f := range fences(name, page) {
			if f.info != "toml" || strings.HasPrefix(f.text, "# rules.d/") || strings.HasPrefix(f.text, gateFile) {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "config.toml")
			writeTestFile(t, file, f.text)
			_, problems := config.Load(file)
			for _, p := range problems {
				if !p.Warning && !elsewhere.MatchString(p.String()) {
					t.Errorf("%s: %s", f.place, p)
				}
			}
		}
	}
	if found < 8 {
		t.Errorf("%d configurations: the search does not find them", found)
	}
}
