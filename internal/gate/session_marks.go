package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// marks returns what names a session in the request, false if that can be read in
// more than one way. An id in the query of what may be a message has to be known:
// a server that knows it acts for its caller.
//
// Gates that share their sessions know them by that and by the header alone: what
// merely looks like an id is in many URLs, which are to be served whatever becomes of
// what is shared. In turn every request that may do something needs an id that is
// known, and not messages alone: what was shared may be lost while servers go on.
func (g *Gate) marks(x *exchange) (all []mark, ok bool) {
	id, ok := headerID(x.r.Header)
	if !ok {
		return nil, false
	}
	if id != "" {
		all = append(all, mark{key: binding.KeyOf(byHeader, x.route.Path, id), must: true})
	}
	if id, ok = queryID(x.r.URL.RawQuery); !ok {
		return nil, false
	}
	if id != "" {
		all = append(all, mark{key: binding.KeyOf(byQuery, "", id), must: x.mayCall() || g.sessions.Shared() && x.acts()})
	}
	if !g.sessions.Shared() {
		all = append(all, g.endpointMarks(x)...)
	}
	return all, true
}

func keysOf(marks []mark) []binding.Key {
	keys := make([]binding.Key, len(marks))
	for i, m := range marks {
		keys[i] = m.key
	}
	return keys
}

// mayCall reports whether the request may bring a message to a server of the older
// transport. On a plain route it need not, but what was not read there may.
func (x *exchange) mayCall() bool {
	if !strings.EqualFold(x.r.Method, http.MethodPost) {
		return false
	}
	return x.message.legible() || x.message == nil && (len(x.r.Header["Content-Type"]) == 0 || isOf(x.r.Header, "json"))
}

// acts reports whether the request may do something.
func (x *exchange) acts() bool {
	return x.r.Method != http.MethodGet && x.r.Method != http.MethodHead && x.r.Method != http.MethodOptions
}

// endpointMarks are what names a session of the older transport in the URL, beside
// an id that is known as such.
func (g *Gate) endpointMarks(x *exchange) (all []mark) {
	if !x.acts() {
		return nil
	}
	all = append(all, mark{key: endpointKey(x.r.URL)})
	for _, p := range g.idsIn(x.r.URL) {
		all = append(all, mark{key: partKey(p), part: true})
	}
	return all
}

// hasSession reports whether the path names a session that is known, or may be.
// Nothing that gates share is asked for who has not shown a token yet.
func (g *Gate) hasSession(x *exchange) bool {
	if g.sessions.Shared() {
		return x.acts() && len(g.idsIn(x.r.URL)) > 0
	}
	marks := g.endpointMarks(x)
	if len(marks) == 0 {
		return false
	}
	known, err := g.sessions.Find(x.r.Context(), keysOf(marks)...)
	return err != nil || slices.ContainsFunc(known, binding.Binding.Known)
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
func endpointKey(u *url.URL) binding.Key { return binding.KeyOf(byEndpoint, "", u.Path+"?"+u.RawQuery) }

// partKey is the key of a session by what may be its id in a URL.
func partKey(id string) binding.Key { return binding.KeyOf(byPart, "", id) }

// idsIn returns what may be ids of sessions in a URL. The segments of routes are
// none.
func (g *Gate) idsIn(u *url.URL) []string {
	return slices.DeleteFunc(idsIn(u), func(id string) bool {
		return slices.ContainsFunc(g.routes, func(r *route) bool { return strings.Contains(r.path()+"/", "/"+id+"/") })
	})
}

// idsIn returns the segments, and the values of their parameters and of the query, of
// a URL that may be ids of sessions.
func idsIn(u *url.URL) (all []string) {
	add := func(s string) {
		if likeID(s) {
			all = append(all, s)
		}
	}
	for s := range strings.SplitSeq(u.Path, "/") {
		s, parameters, _ := strings.Cut(s, ";")
		add(trimmed(s))
		for p := range strings.SplitSeq(parameters, ";") {
			add(trimmed(valueOf(p)))
		}
	}
	for pair := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		add(unescaped(valueOf(pair)))
	}
	return all
}

// valueOf is what a pair says, or all of it if it has no name.
func valueOf(pair string) string {
	if _, value, has := strings.Cut(pair, "="); has {
		return value
	}
	return pair
}

// likeID reports whether something could be meant not to be guessed.
func likeID(s string) bool {
	return len(s) >= 16 || len(s) >= 4 && strings.ContainsAny(s, "0123456789")
}
