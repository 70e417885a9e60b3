package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// ruleKinds has the default first.
var ruleKinds = [...]string{"http", "mcp", "llm", "share"}

// ruleScope is what the rules of one file may use.
type ruleScope struct {
	team      string // "" for config.toml
	trusted   bool   // headers may come from variables and files
	audiences []*Audience
	absent    string                    // why an audience that is not among them cannot be used
	confine   func(match.Prefix) string // why a prefix cannot be used; nil allows all
}

// rules reads [[rule]].
func (d *document) rules(top *table, s ruleScope) []Rule {
	var rules []Rule
	count := map[string]int{}
	for _, t := range top.each("rule") {
		rule := t.rule(s)
		count[rule.Kind]++
		if rule.Name == "" {
			rule.Name = rule.Kind + "-" + strconv.Itoa(count[rule.Kind])
		}
		rules = append(rules, rule)
	}
	return rules
}

func (t *table) rule(s ruleScope) Rule {
	r := Rule{Team: s.team, Pos: t.at()}
	r.Kind = t.enum("kind", ruleKinds[:]...)
	r.Name = t.ruleName("name")
	r.named = r.Name != ""
	r.Prefixes = t.prefixes(s.confine)
	r.Methods = t.methods("methods")
	r.Audience = t.audience("audience", s)
	r.Header = t.headerName("header", "Authorization")
	r.Scheme = t.scheme("scheme")
	r.Existing = t.enum("existing", "replace", "keep")
	r.Strip = t.strip("strip")
	r.Headers = t.headers("headers", r.Header, s.trusted)
	r.Timeout = t.duration("timeout", 0)
	r.Recover = t.enum("recover", "heal", "normalise", "off")
	r.Unauthorized = t.enum("unauthorized", "explain", "pass")
	for _, key := range []string{"recover", "unauthorized"} {
		if t.has(key) && r.Kind != "mcp" {
			t.errorf(t.at(key), "%s goes with kind = \"mcp\" only", key)
		}
	}
	if r.Existing == "keep" && slices.ContainsFunc(r.Strip, func(h string) bool { return strings.EqualFold(h, r.Header) }) {
		t.errorf(t.at("strip"), "strip removes %s, which existing = \"keep\" is to keep", r.Header)
	}
	t.done()
	return r
}

func (t *table) ruleName(key string) string {
	name := t.str(key, "")
	if t.isString(key) && !isName(name) {
		t.errorf(t.at(key), "name: %s has other than letters, digits, '.', '_' and '-', or more than 64", show(name))
	}
	return name
}

// prefixes reads prefix or prefixes.
func (t *table) prefixes(confine func(match.Prefix) string) []match.Prefix {
	one, several := t.has("prefix"), t.has("prefixes")
	switch {
	case one && several:
		t.errorf(t.at("prefixes"), "%s has both prefix and prefixes: it wants one", t.title)
	case !one && !several:
		t.known = append(t.known, "prefix", "prefixes")
		t.errorf(t.at(), "%s has no prefix", t.title)
	}
	list := t.prefixList("prefixes", confine)
	if raw := t.str("prefix", ""); t.isString("prefix") {
		list = t.prefix(list, raw, confine, "prefix")
	}
	return list
}

func (t *table) prefixList(key string, confine func(match.Prefix) string) (list []match.Prefix) {
	for i, raw := range t.filled(key) {
		list = t.prefix(list, raw, confine, key, strconv.Itoa(i))
	}
	return list
}

// prefix appends a parsed prefix. One that cannot be parsed is not shown: a
// URL may hold a password.
func (t *table) prefix(list []match.Prefix, raw string, confine func(match.Prefix) string, key ...string) []match.Prefix {
	p, err := match.ParsePrefix(raw)
	if err != nil {
		t.errorf(t.at(key...), "%v", err)
		return list
	}
	problem := ""
	if addr, err := netip.ParseAddr(hostOf(p)); err == nil && addr.IsMulticast() {
		problem = "is of a multicast address, which no server has"
	} else if confine != nil {
		problem = confine(p)
	}
	switch {
	case problem != "":
		t.errorf(t.at(key...), "prefix %s %s", p, problem)
		return list
	case slices.Contains(list, p):
		t.errorf(t.at(key...), "prefix %s stands there twice", p)
		return list
	}
	return append(list, p)
}

// methods reads the methods of a rule. CONNECT never comes as far as a rule,
// and TRACE would send the token back.
func (t *table) methods(key string) []string {
	list := t.filled(key)
	for i, m := range list {
		at := t.elementAt(key, i)
		switch {
		case !isToken(m):
			t.errorf(at, "methods: %s is not a method", show(m))
		case m != strings.ToUpper(m):
			t.errorf(at, "methods: %s is not in upper case: did you mean %q?", show(m), strings.ToUpper(m))
		case m == "CONNECT" || m == "TRACE":
			t.errorf(at, "methods: %s is never sent with a token", m)
		case slices.Index(list, m) < i:
			t.errorf(at, "methods: %s stands there twice", show(m))
		}
	}
	return list
}

func (t *table) scheme(key string) string {
	s := t.str(key, "Bearer")
	if s != "" && !isToken(s) {
		t.errorf(t.at(key), "scheme: %s is not an authentication scheme (RFC 9110)", show(s))
	}
	return s
}

// audience returns the audience of a rule, nil if there is a problem with it.
func (t *table) audience(key string, s ruleScope) *Audience {
	name := t.str(key, "")
	if !t.has(key) {
		t.errorf(t.at(), "%s has no audience", t.title)
	}
	if !t.isString(key) {
		return nil
	}
	var names []string
	for _, a := range s.audiences {
		if a.Name == name {
			return a
		}
		names = append(names, a.Name)
	}
	t.errorf(t.at(key), "audience %s %s%s", show(name), s.absent, didYouMean(name, names))
	return nil
}
