package config

import (
	"path/filepath"

	"github.com/injectproxy/injectproxy/internal/match"
)

// topLevel are the keys of config.toml.
var topLevel = [...]string{
	"listen", "include", "upstream_proxy", "no_proxy", "upstream_ca", "drain", "access", "tunnel", "admin", "ca",
	"token", "entra", "retry", "session", "log", "audience", "rule", "team",
}

// Load reads file, which is a config.toml, and the team files it includes. It
// returns every problem of every file, sorted by file and line.
//
// The Config is nil if file itself has an error. An error of a team file, or a
// rule outside ca.permit, leaves a Config in which the affected rules are off:
// see [Rule.Off].
func Load(file string) (*Config, []Problem) {
	r := &report{}
	d := r.document(file, "config.toml")
	if d == nil || d.ofGate() {
		return nil, r.problems
	}
	return d.config()
}

// document reads and decodes file, which is what people call by that name. It is
// nil if that cannot be done, with a problem that says why.
func (r *report) document(file, name string) *document {
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	data, exposed, err := read(file)
	if err != nil {
		r.errorf(Position{File: file}, "%v", err)
		return nil
	}
	if exposed.problem != "" {
		r.warnf(Position{File: file, Line: 1, Column: 1}, "%s %s", name, exposed.problem).hint("%s", exposed.hint)
	}
	return decode(r, file, data)
}

func (d *document) config() (*Config, []Problem) {
	c, top, taken := &Config{}, d.top(), newClaims()
	c.settings(top)
	c.Audiences = d.audiences(top, "")
	c.Rules = d.rules(top, ruleScope{trusted: true, audiences: c.Audiences, absent: "is not defined"})
	taken.rules(d.report, c.Rules)
	c.teams(top)
	patterns := top.patterns()
	for _, pattern := range patterns {
		c.Include = append(c.Include, top.absPattern(pattern))
	}
	files := top.include(patterns)
	top.done()
	c.clientRules(d)
	usable := d.firstError(0) == nil

	c.teamFiles(d.report, files, taken)
	c.clientTeamRules(d)
	c.confine(d.report)
	mixUps(d.report, c.Audiences)
	if !usable {
		return nil, d.sorted()
	}
	return c, d.sorted()
}

// Table returns the table of all rules, those that are off included, and for
// each of its rules the index in c.Rules.
func (c *Config) Table() (*match.Table, []int, error) {
	var rules []match.Rule
	var index []int
	for i, rule := range c.Rules {
		for _, prefix := range rule.Prefixes {
			rules = append(rules, match.Rule{Prefix: prefix, Methods: rule.Methods})
			index = append(index, i)
		}
	}
	table, err := match.NewTable(rules)
	return table, index, err
}
