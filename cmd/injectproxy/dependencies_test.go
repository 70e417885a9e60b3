package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// direct returns the modules that go.mod asks for itself.
func direct(gomod string) (modules []string) {
	for _, m := range regexp.MustCompile(`(?m)^(?:\t|require )(\S+\.\S+) v\S+(.*)$`).FindAllStringSubmatch(gomod, -1) {
		if !strings.Contains(m[2], "// indirect") {
			modules = append(modules, m[1])
		}
	}
	return modules
}

// Each module that go.mod asks for has a row with its reason, its licence and
// when it was looked at, and each row has its module.
func TestEachDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../go.mod")
	must(t, err)
	want := direct(string(b))
	page, err := os.ReadFile("../../docs/dependencies.md")
	must(t, err)
	row := regexp.MustCompile(`(?m)^\| (\S+\.\S+/\S+) \| (.{10,}) \| (MIT|ISC|BSD-[23]-Clause|Apache-2\.0|MPL-2\.0) \| 20\d\d-[01]\d \|$`)
	var got []string
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("docs/dependencies.md has\n%s\ngo.mod has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What runs in a workflow is what was looked at: a tag can be moved, a commit
// cannot. No workflow may do more than its jobs say.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	must(t, err)
	pinned := regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	commits, found := map[string]string{}, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		must(t, err)
		if !regexp.MustCompile(`(?m)^permissions:( \{\}|\n  contents: read)$`).Match(b) {
			t.Errorf("%s does not begin with the least permissions", file)
		}
		for line := range strings.Lines(string(b)) {
			_, action, ok := strings.Cut(strings.TrimSpace(line), "uses: ")
			if !ok {
				continue
			}
			name, commit, _ := strings.Cut(action, "@")
			if found++; !pinned.MatchString(action) {
				t.Errorf("%s: %s is not pinned to a commit with its version beside it", file, action)
			}
			if commits[name] != "" && commits[name] != commit {
				t.Errorf("%s: %s is pinned to %s and to %s", file, name, commit, commits[name])
			}
			commits[name] = commit
		}
	}
	if len(files) < 2 || found < 5 {
		t.Errorf("%d actions in %d workflows: the search does not find them", found, len(files))
	}
	script, err := os.ReadFile("../../.ci/run")
	must(t, err)
	if tools := regexp.MustCompile(`(?m)^\w+=\S+@(\S+)$`).FindAllStringSubmatch(string(script), -1); len(tools) < 3 ||
		slices.ContainsFunc(tools, func(m []string) bool { return !strings.HasPrefix(m[1], "v") }) {
		t.Errorf("the tools of .ci/run are not all pinned: %q", tools)
	}
}
