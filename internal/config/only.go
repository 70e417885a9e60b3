package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// Only returns c with those rules alone that names name: a name is that of a
// rule of config.toml, of a team, which stands for all of its rules, or of a
// team's rule, as RULE where no other team has one of that name and as
// TEAM/RULE always. The error says what is wrong with a name.
//
// No rule that stays covers more than before: what a rule that goes has taken
// out of its prefix is answered with 502. C is not changed.
func (c *Config) Only(names ...string) (*Config, error) {
	keep := make([]bool, len(c.Rules))
	for _, name := range names {
		named, err := c.named(name)
		if err != nil {
			return nil, err
		}
		for _, i := range named {
			keep[i] = true
		}
	}
	limited := *c
	limited.Rules = nil
	var kept []match.Prefix
	for i, rule := range c.Rules {
		if keep[i] {
			limited.Rules = append(limited.Rules, rule)
			kept = append(kept, rule.Prefixes...)
		}
	}
	for i, rule := range c.Rules {
		if !keep[i] {
			limited.Rules = append(limited.Rules, rule.hole(kept)...)
		}
	}
	return &limited, nil
}

// hole returns the rule, off, under those of its prefixes that lie below one of
// kept, and nothing if there are none.
func (rule Rule) hole(kept []match.Prefix) []Rule {
	inner := slices.DeleteFunc(slices.Clone(rule.Prefixes), func(p match.Prefix) bool {
		return slices.Contains(kept, p) || // then the methods tell them apart
			!slices.ContainsFunc(kept, p.Within)
	})
	if len(inner) == 0 {
		return nil
	}
	rule.Prefixes = inner
	rule.Off, rule.Remedy = "it is not among those that --only names", "Name it with --only too."
	return []Rule{rule}
}

// named returns the indexes of the rules that name stands for.
func (c *Config) named(name string) (rules []int, err error) {
	var own, teams, ofTeams []int
	var full []string
	for i, rule := range c.Rules {
		switch {
		case rule.Team == "" && rule.Name == name:
			own = append(own, i)
		case rule.Team != "" && (rule.Team == name):
			teams = append(teams, i)
		case rule.Team != "" && (rule.Name == name || rule.Team+"/"+rule.Name == name):
			ofTeams = append(ofTeams, i)
			full = append(full, rule.Team+"/"+rule.Name)
		}
	}
	switch {
	case len(own) > 0 && len(teams) > 0:
		return nil, fmt.Errorf("%s is both a rule and a team: give one of them another name", show(name))
	case len(own) > 0:
		return own, nil
	case len(teams) > 0:
		return teams, nil
	case len(slices.Compact(slices.Sorted(slices.Values(full)))) > 1:
		return nil, fmt.Errorf("%s is a rule of several teams: name %s", show(name), strings.Join(full, " or "))
	case len(ofTeams) > 0:
		return ofTeams, nil
	case slices.Contains(c.teamNames(), name):
		return nil, fmt.Errorf("team %s has no rules", show(name))
	case name == "":
		return nil, errors.New("the name of a rule or team is empty")
	}
	return nil, fmt.Errorf("%s is neither a rule nor a team%s", show(name), didYouMean(name, c.names()))
}

// names returns the names of all rules and teams.
func (c *Config) names() []string {
	names := c.teamNames()
	for _, rule := range c.Rules {
		if rule.Name != "" {
			names = append(names, rule.Name)
		}
	}
	return names
}
