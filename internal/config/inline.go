package config

import (
	"path/filepath"
	"slices"
	"strconv"
)

// Inline is a rule that a command line gives, with an audience of its own. Kind
// is the key of an audience, such as "token_env", and Value what stands there.
type Inline struct {
	Prefix, Kind, Value string
}

// WithInline returns base, or a configuration without a file where base is nil,
// with the rules added. They are held to what a [[rule]] of config.toml is: a
// problem stands at a Position whose File is "--rule N", counted from 1, and
// which has no Line. The Config is nil if there is an error. Base is not changed.
func WithInline(base *Config, rules []Inline) (*Config, []Problem) {
	r, c := &report{}, &Config{}
	if base == nil {
		c.settings((&document{report: r, root: map[string]any{}}).top())
	} else {
		*c = *base
		c.Rules, c.Audiences = slices.Clone(base.Rules), slices.Clone(base.Audiences)
	}
	taken := newClaims()
	taken.rules(&report{}, c.Rules) // base's own problems have been told
	added := make([]Rule, len(rules))
	for i, rule := range rules {
		d := rule.document(r, i+1)
		audiences := d.audiences(d.top(), "")
		mixUps(r, audiences)
		added[i] = d.rules(d.top(), ruleScope{trusted: true, audiences: audiences})[0]
		taken.rules(r, added[i:i+1])
		c.Audiences = append(c.Audiences, audiences...)
	}
	c.Rules = append(c.Rules, added...)
	if r.firstError(0) != nil {
		return nil, r.sorted()
	}
	return c, r.sorted()
}

// InlineName is the name of the rule that is number n, from 1, of those given
// to [WithInline].
func InlineName(n int) string { return "exec-" + strconv.Itoa(n) }

// document returns what i would be in a file, as it is decoded: no text is
// made of it, so that nothing in it can be more than a value.
func (i Inline) document(r *report, n int) *document {
	name, value := InlineName(n), i.Value
	if abs, err := filepath.Abs(value); i.Kind == "token_file" && value != "" && err == nil {
		value = abs // relative to where the user is, not to a file
	}
	source := "--rule " + strconv.Itoa(n)
	at := map[string]Position{"audience": {File: source}, "rule": {File: source}} // all that is below, too
	return &document{report: r, source: source, pos: positions{file: source, at: at}, root: map[string]any{
		"audience": map[string]any{name: map[string]any{i.Kind: value}},
		"rule":     []map[string]any{{"name": name, "prefix": i.Prefix, "audience": name}},
	}}
}
