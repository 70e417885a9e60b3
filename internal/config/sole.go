package config

import (
	"fmt"
	"slices"

	"github.com/injectproxy/injectproxy/internal/match"
)

// SoleName is the name of the rule of [WithSole], and of its audience, if that
// is its own.
const SoleName = "stdio"

// Sole is the only rule of a configuration, given by a command line and the
// environment: everything below Prefix, for an audience that the configuration
// has, or for one of its own.
type Sole struct {
	Prefix   string
	Audience string // name of an audience of base; "" for one of its own

	Kind, Value string // of its own: a key such as "client_id", and what stands there
	Tenant      string // "" for none

	// Where each of these was written, such as "--client-id", for problems.
	PrefixAt, AudienceAt, ValueAt, TenantAt string
}

// WithSole returns base, or a configuration without a file where base is nil,
// with that rule in place of all others. It is of kind mcp, and held to what a
// [[rule]] of config.toml is: a problem stands at a Position whose File is where
// the value was written, and which has no Line. The Config is nil if there is an
// error. Base is not changed.
func WithSole(base *Config, s Sole) (*Config, []Problem) {
	r, c := &report{}, &Config{}
	if base == nil {
		c.settings((&document{report: r, root: map[string]any{}}).top())
	} else {
		*c = *base
	}
	d := s.document(r)
	scope := ruleScope{trusted: true, absent: "is not defined"}
	if s.Audience == "" {
		scope.audiences = d.audiences(d.top(), "")
		mixUps(r, scope.audiences)
	} else {
		scope.audiences = slices.DeleteFunc(slices.Clone(c.Audiences), func(a *Audience) bool { return a.Team != "" })
	}
	c.Rules = d.rules(d.top(), scope)
	if r.firstError(0) != nil {
		return nil, r.sorted()
	}
	c.Audiences = []*Audience{c.Rules[0].Audience}
	return c, r.sorted()
}

// document returns what s would be in a file, as it is decoded.
func (s Sole) document(r *report) *document {
	name := s.Audience
	root := map[string]any{}
	if name == "" {
		name = SoleName
		own := map[string]any{s.Kind: s.Value}
		if s.Tenant != "" {
			own["tenant"] = s.Tenant
		}
		root["audience"] = map[string]any{name: own}
	}
	root["rule"] = []map[string]any{{"name": SoleName, "prefix": s.Prefix, "audience": name, "kind": "mcp"}}
	at := map[string]Position{
		joinPath([]string{"audience"}):                     {File: s.ValueAt},
		joinPath([]string{"audience", SoleName, "tenant"}): {File: s.TenantAt},
		joinPath([]string{"rule"}):                         {File: s.PrefixAt},
		joinPath([]string{"rule", "0", "audience"}):        {File: s.AudienceAt},
	}
	return &document{report: r, source: SoleName, pos: positions{file: SoleName, at: at}, root: root}
}

// Within returns c with those rules alone that name authority, and the audiences
// that these use. What they decide about a request there is what those of c do.
// They are of kind mcp, whatever they were. C is not changed.
func (c *Config) Within(authority string) *Config {
	limited := *c
	limited.Rules, limited.Audiences = nil, nil
	for _, rule := range c.Rules {
		if !slices.ContainsFunc(rule.Prefixes, func(p match.Prefix) bool { return p.Authority() == authority }) {
			continue
		}
		rule.Kind = "mcp"
		limited.Rules = append(limited.Rules, rule)
		if rule.Audience != nil && !slices.Contains(limited.Audiences, rule.Audience) {
			limited.Audiences = append(limited.Audiences, rule.Audience)
		}
	}
	return &limited
}

// OverrideUpstreamProxy puts "env", "direct" or a URL in place of the upstream
// proxy. The error repeats nothing of s, which may hold a password.
func (c *Config) OverrideUpstreamProxy(s string) error {
	if s == "env" || s == "direct" {
		c.Upstream.Proxy, c.Upstream.URL = s, nil
		return nil
	}
	u, problem := parseProxy(s)
	if problem != "" {
		return fmt.Errorf("it %s", problem)
	}
	c.Upstream.Proxy, c.Upstream.URL = "url", u
	return nil
}

// BadHeader says why no rule may set a header of that name, or returns "".
func BadHeader(name string) string { return badHeader(name) }

// IsHeaderValue reports whether s is visible ASCII with blanks only inside, and
// not empty.
func IsHeaderValue(s string) bool { return isHeaderValue(s) }
