package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/injectproxy/injectproxy/internal/match"
)

// Whatever a config.toml and a team file hold, each problem has its place, a
// usable configuration makes a table, and no team reaches beyond its grant. A
// second reader of TOML finds the same rules in them, no fewer and no more.
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
		sameRules(t, c, main, team)
	})
}

// stanza is of a rule what a second reader looks at.
type stanza struct {
	Prefix   string
	Prefixes []string
	Audience string
}

// file is what a second reader looks at.
type file struct {
	Rule []stanza
	Team map[string]struct{ Prefixes []string }
}

// sameRules holds the rules against what go-toml reads in main and team.
func sameRules(t *testing.T, c *Config, main, team string) {
	var first file
	var second struct{ Rule []stanza } // its team is a name
	if err := toml.Unmarshal([]byte(strings.TrimPrefix(main, "\ufeff")), &first); err != nil {
		t.Fatalf("a usable config.toml is none to go-toml: %v", err)
	}
	toml.Unmarshal([]byte(strings.TrimPrefix(team, "\ufeff")), &second) // it need not be usable
	rest := first.Rule
	for _, rule := range c.Rules {
		var at stanza
		switch {
		case rule.Team == "":
			if len(rest) == 0 {
				t.Fatalf("rule %s stands nowhere", rule.Name)
			}
			at, rest = rest[0], rest[1:]
		case rule.Off == "":
			i := slices.IndexFunc(second.Rule, func(s stanza) bool { return covers(s.all(), rule.Prefixes) })
			if i < 0 {
				t.Fatalf("rule %s of %s, for %v, stands nowhere", rule.Name, rule.Team, rule.Prefixes)
			}
			at = second.Rule[i]
			if grant := first.Team[rule.Team].Prefixes; !within(rule.Prefixes, grant) {
				t.Fatalf("rule %s of %s is for %v, and granted are %q", rule.Name, rule.Team, rule.Prefixes, grant)
			}
		default:
			continue
		}
		if !covers(at.all(), rule.Prefixes) || rule.Audience != nil && rule.Audience.Name != at.Audience {
			t.Fatalf("rule %s for %v and %+v stands in the file as %+v", rule.Name, rule.Prefixes, rule.Audience, at)
		}
	}
	if len(rest) > 0 {
		t.Fatalf("the rules %+v are lost", rest)
	}
}

func (s stanza) all() []string {
	if s.Prefix != "" {
		return append(s.Prefixes, s.Prefix)
	}
	return s.Prefixes
}

// covers reports whether prefixes are those that are written.
func covers(written []string, prefixes []match.Prefix) bool {
	for _, w := range written {
		p, err := match.ParsePrefix(w)
		if err != nil || !slices.Contains(prefixes, p) {
			return false
		}
	}
	return len(written) >= len(prefixes)
}

// within reports whether each prefix begins with a granted one, host and path.
func within(prefixes []match.Prefix, granted []string) bool {
	for _, p := range prefixes {
		in, err := url.Parse(p.String())
		if err != nil || !slices.ContainsFunc(granted, func(g string) bool {
			out, err := url.Parse(g)
			return err == nil && (in.Port() == out.Port() || in.Port()+out.Port() == "443") && strings.HasPrefix(in.Path, strings.TrimSuffix(out.Path, "/")+"/")
		}) {
			return false
		}
	}
	return true
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
