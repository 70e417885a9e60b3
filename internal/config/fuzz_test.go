package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever a config.toml and a team file hold, each problem has its place, a
// usable configuration makes a table, and no team reaches beyond its grant.
func FuzzLoad(f *testing.F) {
	f.Add(everything, "")
	f.Add(granting, "team = \"alpha\"\n[[rule]]\nprefix = \"https://alpha.example/\"\naudience = \"gateway\"")
	f.Add(granting, "team = \"beta\"\n[audience.x]\ntoken_env = \"X\"\n[[rule]]\nprefixes = [\"https://shared.example/b/\"]\naudience = \"x\"")
	f.Add(good, "oops")
	f.Add("rule = [{prefix = 1}, 2]\n", "a.b.c = {d = [[1], {e = 2}]}")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, main, team string) {
		// One process runs one input at a time, so the files can be rewritten.
		file, teamFile := filepath.Join(dir, "config.toml"), filepath.Join(dir, "rules.d", "t.toml")
		if strings.Contains(main, "include") || strings.Contains(main, "upstream_ca") {
			t.Skip("would read what lies elsewhere")
		}
		writeFile(t, file, main)
		writeFile(t, teamFile, team)
		c, problems := Load(file)
		errors := 0
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.File != file && p.File != teamFile || p.Message == "" || strings.ContainsAny(p.String(), "\n\r\x00\x1b") {
				t.Errorf("bad problem %q", p)
			}
			if !p.Warning {
				errors++
			}
		}
		if c == nil {
			if errors == 0 {
				t.Error("no configuration and no error")
			}
			return
		}
		if _, _, err := c.Table(); err != nil {
			t.Error(err)
		}
		c.Permitted()
		confined(t, c)
	})
}

// confined checks each rule of a team against the grant.
func confined(t *testing.T, c *Config) {
	for _, rule := range c.Rules {
		if rule.Team == "" {
			continue
		}
		team := c.team(rule.Team)
		for _, p := range rule.Prefixes {
			if team.granted(p) != "" {
				t.Errorf("%s is not granted to %s", p, rule.Team)
			}
		}
		if rule.Off != "" {
			continue
		}
		if team.Broken || rule.Audience == nil || rule.Audience.Team != "" && !team.Trusted ||
			rule.Audience.Team == "" && !slices.Contains(team.Audiences, rule.Audience.Name) {
			t.Errorf("rule %+v of team %+v", rule, team)
		}
	}
}
