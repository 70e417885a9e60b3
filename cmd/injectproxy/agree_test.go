package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// TestCheckAndServeAgree holds that serve finds what check finds in broken
// files, at the start and after a change, and that it serves exactly where
// config.toml has no error.
func TestCheckAndServeAgree(t *testing.T) {
	t.Parallel()
	const good = "[audience.a]\ntoken_file = \"a.token\"\n[[rule]]\nname = \"api\"\nprefix = \"https://api.example.test/\"\naudience = \"a\"\n" +
		"[team.one]\nprefixes = [\"https://one.example.test/\"]\naudiences = [\"a\"]\n"
	for name, tt := range map[string]struct {
		config, team string
		starts       bool
	}{
		"nothing wrong":          {good, "", true},
		"a warning":              {"[session]\nlight = \"1s\"\n" + good, "", true},
		"not TOML":               {good + "[", "", false},
		"unknown key":            {"lisen = \"x\"\n" + good, "", false},
		"wrong type":             {"drain = 10\n" + good, "", false},
		"unknown audience":       {strings.Replace(good, `audience = "a"`, `audience = "b"`, 1), "", false},
		"a prefix twice":         {good + "[[rule]]\nprefix = \"https://api.example.test\"\naudience = \"a\"\n", "", false},
		"grants that overlap":    {good + "[team.two]\nprefixes = [\"https://one.example.test/x\"]\n", "", false},
		"a client's rule":        {"[access.client.x]\ntoken_file = \"x\"\nrules = [\"none\"]\n" + good, "", false},
		"open to everybody":      {"listen = \"0.0.0.0:0\"\naccess = { mode = \"open\" }\n" + good, "", false},
		"a rule outside permit":  {"[ca]\npermit = [\"other.example\"]\n" + good, "", true},
		"team file not TOML":     {good, "[", true},
		"team file without team": {good, "[[rule]]\nprefix = \"https://one.example.test/\"\naudience = \"a\"\n", true},
		"beyond its grant":       {good, "team = \"one\"\n[[rule]]\nprefix = \"https://two.example.test/\"\naudience = \"a\"\n", true},
		"team without grant":     {good, "team = \"two\"\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			files := map[string]string{"config.toml": tt.config, "a.token": tokenA}
			if tt.team != "" {
				files[filepath.Join("rules.d", "one.toml")] = tt.team
			}
			for _, file := range slices.Sorted(maps.Keys(files)) {
				writeTestFile(t, filepath.Join(home, file), files[file])
			}
			file := filepath.Join(home, "config.toml")
			var found strings.Builder
			checked := run([]string{"check", "--config", file}, &found, os.Stderr)

			g := &globals{config: file}
			cfg, problems, err := g.loadFor("")
			if err != nil {
				t.Fatal(err)
			}
			var served strings.Builder
			printProblems(&served, problems)
			if found.String() != served.String() || (cfg != nil) != tt.starts {
				t.Errorf("serve starts: %v, with\n%scheck finds\n%s", cfg != nil, served.String(), found.String())
			}
			if wrong := verdict(problems) != nil; (checked == exitUsage) != wrong || !tt.starts && !wrong {
				t.Errorf("exit status of check %d: %v", checked, problems)
			}
			agreesOnReload(t, g, tt.starts, len(problems))
		})
	}
}

// agreesOnReload changes a running configuration to that of g.
func agreesOnReload(t *testing.T, g *globals, starts bool, problems int) {
	t.Helper()
	b := newTestbed(t, settings{tables: fileAudiences + rule("https://first.example.test/"), files: tokenFiles})
	before := b.config()
	changes := newReloader(b.instance, before, nil, func() (*config.Config, []config.Problem, error) { return g.loadFor("") })
	changes.reload()
	state := changes.now()
	if took := b.config() != before; took != starts || state.failed.IsZero() != starts || len(state.problems) != problems {
		t.Errorf("taken over: %v, %d problems shown", took, len(state.problems))
	}
	if logged := strings.Count(b.log.String(), "msg=configuration "); logged != problems {
		t.Errorf("%d problems logged, want %d:\n%s", logged, problems, b.log)
	}
}
