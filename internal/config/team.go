package config

import (
	"fmt"
	"slices"

	"github.com/injectproxy/injectproxy/internal/match"
)

// teams reads the grants, [team.*].
func (c *Config) teams(top *table) {
	for _, t := range top.named("team") {
		from := len(t.problems)
		team := Team{Name: t.leaf(), Pos: t.at()}
		team.Prefixes = t.prefixList("prefixes", nil)
		if !t.has("prefixes") {
			t.errorf(t.at(), "%s has no prefixes", t.title)
		}
		team.Audiences = t.list("audiences")
		for i, name := range team.Audiences {
			if !slices.ContainsFunc(c.Audiences, func(a *Audience) bool { return a.Name == name }) {
				t.errorf(t.elementAt("audiences", i), "audience %s is not defined%s", show(name), didYouMean(name, c.audienceNames()))
			}
		}
		team.Trusted = t.boolean("trusted")
		t.done()
		team.faulty = t.firstError(from) != nil
		c.overlap(t, team)
		c.Teams = append(c.Teams, team)
	}
}

// overlap reports what an earlier team has been granted already.
func (c *Config) overlap(t *table, team Team) {
	for i, p := range team.Prefixes {
		for _, other := range c.Teams {
			for _, q := range other.Prefixes {
				if p.Within(q) || q.Within(p) {
					t.errorf(t.elementAt("prefixes", i), "prefix %s overlaps with %s, granted to team %s at %s", p, q, other.Name, other.Pos)
				}
			}
		}
	}
}

func (c *Config) audienceNames() []string {
	names := make([]string, len(c.Audiences))
	for i, a := range c.Audiences {
		names[i] = a.Name
	}
	return names
}

func (c *Config) teamNames() []string {
	names := make([]string, len(c.Teams))
	for i, t := range c.Teams {
		names[i] = t.Name
	}
	return names
}

func (c *Config) team(name string) *Team {
	for i := range c.Teams {
		if c.Teams[i].Name == name {
			return &c.Teams[i]
		}
	}
	return nil
}

// granted says why the team may not have a rule with this prefix.
func (t *Team) granted(p match.Prefix) string {
	if slices.ContainsFunc(t.Prefixes, p.Within) {
		return ""
	}
	return fmt.Sprintf("is not granted to team %s (its grant is at %s)", t.Name, t.Pos)
}

// suspend takes the rules of broken teams out and puts refusals in their
// place, so that no request that one of them was for goes out without its
// token: each granted prefix is refused, unless a live rule has that very
// prefix. Why says what is broken, by team.
//
// Where it cannot be told whose file is broken, it could be anybody's, and
// every team has an entry in why. The rules of the healthy files then live on;
// what they leave of the grants is refused.
func (c *Config) suspend(why map[string]string) {
	c.Rules = slices.DeleteFunc(c.Rules, func(r Rule) bool { return r.Team != "" && c.team(r.Team).Broken })
	c.Audiences = slices.DeleteFunc(c.Audiences, func(a *Audience) bool { return a.Team != "" && c.team(a.Team).Broken })
	taken := map[match.Prefix]bool{}
	for _, rule := range c.Rules {
		for _, p := range rule.Prefixes {
			taken[p] = true
		}
	}
	for _, team := range c.Teams {
		if why[team.Name] == "" {
			continue
		}
		guard := Rule{Team: team.Name, Pos: team.Pos, Off: why[team.Name]}
		for _, p := range team.Prefixes {
			if !taken[p] {
				guard.Prefixes = append(guard.Prefixes, p)
			}
		}
		if guard.Prefixes != nil {
			c.Rules = append(c.Rules, guard)
		}
	}
}
