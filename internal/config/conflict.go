package config

import (
	"fmt"

	"github.com/injectproxy/injectproxy/internal/match"
)

// claims remembers which rule has which prefix, method and name.
type claims struct {
	first  map[match.Prefix]*Rule // the first rule with this prefix
	all    map[match.Prefix]*Rule // the rule for every method
	method map[methodClaim]*Rule
	name   map[nameClaim]*Rule
}

type methodClaim struct {
	prefix match.Prefix
	method string
}

type nameClaim struct{ team, name string }

func newClaims() *claims {
	return &claims{
		first: map[match.Prefix]*Rule{}, all: map[match.Prefix]*Rule{},
		method: map[methodClaim]*Rule{}, name: map[nameClaim]*Rule{},
	}
}

// rules reports each rule that wants what an earlier one has, and notes the rest.
func (c *claims) rules(r *report, rules []Rule) {
	for i := range rules {
		rule := &rules[i]
		for _, prefix := range rule.Prefixes {
			if earlier := c.holder(prefix, rule); earlier != nil {
				r.errorf(rule.Pos, "prefix %s is taken by rule %s at %s", prefix, earlier.Name, earlier.Pos)
				continue
			}
			c.take(prefix, rule)
		}
		c.takeName(r, rule)
	}
}

// holder returns the earlier rule that rule cannot share the prefix with, or nil.
//
// Rules of one origin share a prefix if they have no method in common. A team
// gets no part of a prefix that config.toml has: were its file to break, its
// methods would be forwarded without a token, since config.toml's rule is the
// one that decides there.
func (c *claims) holder(prefix match.Prefix, rule *Rule) *Rule {
	first := c.first[prefix]
	switch {
	case first == nil:
		return nil
	case first.Team != rule.Team || len(rule.Methods) == 0:
		return first
	case c.all[prefix] != nil:
		return c.all[prefix]
	}
	for _, method := range rule.Methods {
		if earlier := c.method[methodClaim{prefix, method}]; earlier != nil {
			return earlier
		}
	}
	return nil
}

func (c *claims) take(prefix match.Prefix, rule *Rule) {
	if c.first[prefix] == nil {
		c.first[prefix] = rule
	}
	if len(rule.Methods) == 0 {
		c.all[prefix] = rule
	}
	for _, method := range rule.Methods {
		c.method[methodClaim{prefix, method}] = rule
	}
}

// takeName reports names that two rules of one origin have. Default names
// count within their file only, so two files of a team may repeat them.
func (c *claims) takeName(r *report, rule *Rule) {
	id := nameClaim{rule.Team, rule.Name}
	earlier := c.name[id]
	switch {
	case earlier == nil:
		c.name[id] = rule
	case earlier.Pos.File != rule.Pos.File && !(earlier.named && rule.named):
	default:
		r.errorf(rule.Pos, "the name %s is taken by the rule at %s%s", rule.Name, earlier.Pos, defaultName(earlier, rule))
	}
}

func defaultName(a, b *Rule) string {
	if a.named && b.named {
		return ""
	}
	return fmt.Sprintf(" (a rule without a name is called %s-1, %s-2, …)", a.Kind, a.Kind)
}
