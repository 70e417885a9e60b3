package gate

import (
	"net/http"
	"net/url"
	"strings"
)

// marks returns what names a session in the request, false if that can be read in
// more than one way.
func (x *exchange) marks() (all []mark, ok bool) {
	id, ok := headerID(x.r.Header)
	if !ok {
		return nil, false
	}
	if id != "" {
		all = append(all, mark{keyOf(byHeader, x.route.Path, id), true})
	}
	id, ok = queryID(x.r.URL.RawQuery)
	switch {
	case !ok:
		return nil, false
	case id != "":
		all = append(all, mark{keyOf(byQuery, "", id), x.message.legible()})
	case x.r.Method == http.MethodPost:
		all = append(all, mark{endpointKey(x.r.URL), false})
	}
	return all, true
}

// headerID returns the id in a header, "" for none. It is false for what two
// servers could read differently. A name with underscores is the same one to those
// that make variables of header fields.
func headerID(h http.Header) (string, bool) {
	for name := range h {
		if strings.Contains(name, "_") && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), headerSession) {
			return "", false
		}
	}
	values := h[headerSession]
	switch {
	case len(values) == 0:
		return "", true
	case len(values) > 1 || len(values[0]) > mostSessionID:
		return "", false
	case values[0] == "":
		delete(h, headerSession)
		return "", true
	}
	for i := range len(values[0]) {
		if c := values[0][i]; c < 0x21 || c > 0x7e {
			return "", false
		}
	}
	return values[0], true
}

// queryID returns the id in a query, "" for none, as servers of the HTTP+SSE
// transport of MCP 2024-11-05 have them: sessionId, session_id or sessionid. It is
// false if there are several.
func queryID(query string) (id string, ok bool) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if name, _, _ = strings.Cut(unescaped(name), "["); !isSessionName(name) {
			continue
		}
		if value = unescaped(value); value == "" {
			continue
		}
		if id != "" && id != value || len(value) > mostSessionID {
			return "", false
		}
		id = value
	}
	return id, true
}

func isSessionName(name string) bool {
	return strings.EqualFold(strings.NewReplacer("_", "", "-", "").Replace(strings.TrimSpace(name)), "sessionid")
}

// unescaped is part of a query without its encoding, as it stands if that is
// broken.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// endpointKey is the key of a session whose URL has no id that is known as such.
func endpointKey(u *url.URL) sessionKey { return keyOf(byEndpoint, "", u.Path+"?"+u.RawQuery) }
