package config

import (
	"slices"
	"strings"
	"unicode"
)

// grants reads [route.tools] and its siblings: pattern = { scopes, roles }, in
// file order.
func (e *GateEntra) grants(route *table, key string) []GateGrant {
	section := route.titled(key, "[route."+key+"]")
	var grants []GateGrant
	for _, pattern := range section.inOrder() {
		keys, ok := value[map[string]any](section, pattern, `a table such as { scopes = ["…"] }, or {} for what everybody may have`)
		if !ok {
			continue
		}
		at := section.at(pattern)
		t := &table{document: section.document, path: append(slices.Clip(section.path), pattern), title: section.title + " " + show(pattern), keys: keys}
		grant := GateGrant{Pos: at, Pattern: pattern}
		grant.Scopes, grant.Roles = e.scopes(t, "scopes"), t.roles("roles")
		t.dotted(pattern)
		t.done()
		section.pattern(pattern, key, grants)
		grants = append(grants, grant)
	}
	return grants
}

// pattern reports what is wrong with a pattern, and an earlier one that covers
// the same names.
func (t *table) pattern(pattern, key string, earlier []GateGrant) {
	at := t.at(pattern)
	switch {
	case pattern == "":
		t.errorf(at, "a pattern in %s is empty", t.title)
	case strings.ContainsFunc(pattern, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		t.errorf(at, "pattern %s has a control character", show(pattern))
	case key == "resources" && !strings.ContainsAny(pattern, ":*"):
		t.warnf(at, "pattern %s matches no resource: those are named by their URI", show(pattern)).hint(`such as "file:///reports/*"`)
	}
	for _, g := range earlier {
		if squeeze(g.Pattern) == squeeze(pattern) {
			t.errorf(at, "pattern %s covers the same as the one at %s", show(pattern), g.Pos)
		}
	}
}

// squeeze makes one * of several in a row.
func squeeze(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return pattern
}

// dotted reports a name with a dot that was not put in quotes, which makes it
// tables within tables.
func (t *table) dotted(pattern string) {
	for _, key := range t.inOrder() {
		if _, ok := t.keys[key].(map[string]any); ok && key != "scopes" && key != "roles" {
			t.known = append(t.known, key)
			t.errorf(t.at(key), "%s is cut in two at its dot", show(pattern+"."+key)).hint("names with a dot want quotes: %q = { … }", pattern+"."+key)
		}
	}
}

// scopes reads the names of scopes, without the App ID URI that stands before
// them elsewhere.
func (e *GateEntra) scopes(t *table, key string) []string {
	return t.permissions(key, func(s string) (string, string, string) {
		short := s
		for _, uri := range []string{e.AppIDURI, "api://" + e.ClientID} {
			if name, ok := strings.CutPrefix(s, uri+"/"); ok {
				short = name
			}
		}
		switch short {
		case ".default":
			return "", "is what clients ask for, and in no token", "the names that tokens carry as scp"
		case "openid", "profile", "email", "offline_access":
			return "", "is never in a token for your application", "a scope that the registration exposes"
		}
		if strings.Contains(short, "/") {
			return "", "is of another application", "the name alone, as tokens carry it in scp; this application's scopes begin with " + e.AppIDURI + "/"
		}
		return short, "", ""
	})
}

// roles reads the values of app roles.
func (t *table) roles(key string) []string {
	return t.permissions(key, func(s string) (string, string, string) { return s, "", "" })
}

// permissions reads names of scopes or roles, each made what tokens carry.
func (t *table) permissions(key string, short func(string) (name, problem, hint string)) []string {
	var list []string
	for i, s := range t.list(key) {
		at := t.elementAt(key, i)
		name, problem, hint := short(s)
		switch {
		case s == "":
			problem = "is empty"
		case strings.ContainsAny(s, " ,"):
			problem, hint = "is more than one name", "each in quotes of its own"
		case problem == "" && !isAudience(s):
			problem = "has characters that no name in a token has"
		case problem == "" && slices.Contains(list, name):
			problem = "stands there twice"
		}
		if problem != "" {
			t.errorf(at, "%s: %s %s", key, show(s), problem).Hint = hint
			continue
		}
		list = append(list, name)
	}
	return list
}
