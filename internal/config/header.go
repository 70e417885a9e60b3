package config

import (
	"slices"
	"strings"
)

// reserved are the header fields that belong to the connection and the
// message: no rule sets or removes them, nor any that begins with Proxy-.
var reserved = [...]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Trailer"}

// badHeader says why a rule may not name this header, or returns "".
func badHeader(name string) string {
	if !isToken(name) {
		return "is not a header name (RFC 9110)"
	}
	taken := slices.ContainsFunc(reserved[:], func(r string) bool { return strings.EqualFold(r, name) })
	if taken || len(name) >= 6 && strings.EqualFold(name[:6], "Proxy-") {
		return "belongs to the connection: no rule may touch it"
	}
	return ""
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && only(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 })
}

// isHeaderValue reports whether s is visible ASCII, spaces between words
// allowed.
func isHeaderValue(s string) bool {
	return s != "" && s == strings.TrimSpace(s) && only(s, func(c byte) bool { return ' ' <= c && c <= '~' })
}

// headerName reads the field that carries the token.
func (t *table) headerName(key, absent string) string {
	name := t.str(key, absent)
	if problem := badHeader(name); problem != "" {
		t.errorf(t.at(key), "%s: %s %s", key, show(name), problem)
	}
	return name
}

// headers reads headers = { NAME = VALUE }, in file order. Values are not
// shown: most are keys. Only a trusted file may read variables and files.
func (t *table) headers(key, injected string, trusted bool) []Header {
	section := t.section(key)
	var headers []Header
	for _, name := range section.inOrder() {
		switch problem := badHeader(name); {
		case problem != "":
			section.errorf(section.at(name), "headers: %s %s", show(name), problem)
		case strings.EqualFold(name, injected):
			section.errorf(section.at(name), "headers: %s carries the token already", show(name))
		case slices.ContainsFunc(headers, func(h Header) bool { return strings.EqualFold(h.Name, name) }):
			section.errorf(section.at(name), "headers: %s stands there twice", show(name))
		}
		headers = append(headers, section.headerValue(name, trusted))
	}
	return headers
}

func (t *table) headerValue(name string, trusted bool) Header {
	h := Header{Name: name}
	switch raw := t.keys[name].(type) {
	case string:
		if h.Value = strings.TrimSuffix(raw, "\n"); !isHeaderValue(h.Value) {
			t.errorf(t.at(name), "headers: the value of %s is empty or not visible ASCII", show(name))
		}
	case map[string]any:
		from := &table{document: t.document, path: append(slices.Clip(t.path), name), title: "headers", keys: raw}
		h.Env, h.File = from.variable("env"), from.file("file")
		from.done()
		if from.has("env") == from.has("file") {
			t.errorf(t.at(name), "headers: %s wants env or file", show(name))
		}
		if !trusted {
			t.errorf(t.at(name), "headers: %s comes from a variable or a file: only a trusted team's file may say so", show(name))
		}
	default:
		t.errorf(t.at(name), "headers: %s must be a string, { env = … } or { file = … }, not %s", show(name), kindOf(raw))
	}
	return h
}

// strip reads the headers to remove.
func (t *table) strip(key string) []string {
	list := t.list(key)
	for i, name := range list {
		if problem := badHeader(name); problem != "" {
			t.errorf(t.elementAt(key, i), "%s: %s %s", key, show(name), problem)
		}
	}
	return list
}
