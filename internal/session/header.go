package session

import (
	"maps"
	"net/http"
	"strings"
)

// The fields of "Streamable HTTP" ("Transports" of MCP), and what resuming a
// stream of events takes, in the form of net/http's maps.
const (
	headerSession = "Mcp-Session-Id"
	headerVersion = "Mcp-Protocol-Version"
	headerMethod  = "Mcp-Method"
	headerLast    = "Last-Event-Id"
)

// firstSessionless is the first version of the protocol that has no sessions.
// Versions are dates, and compare as strings.
const firstSessionless = "2026-07-28"

// mostID is how long a session id may be.
const mostID = 1 << 10

// sessionful reports whether a version has sessions. What is not a date is a
// draft: nobody knows.
func sessionful(version string) bool {
	return dated(version) && version < firstSessionless
}

func dated(version string) bool {
	if len(version) != len(firstSessionless) {
		return false
	}
	for i, c := range []byte(version) {
		if dash := i == 4 || i == 7; dash != (c == '-') || !dash && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// sessionless reports whether a request says that it is of a version without
// sessions, or of one that nobody knows.
func sessionless(h http.Header) bool {
	v, ok := h[headerVersion]
	return ok && (len(v) != 1 || !sessionful(v[0]))
}

// sessionID returns the session that a message names: visible ASCII, once.
func sessionID(h http.Header) (id string, ok bool) {
	v := h[headerSession]
	if len(v) != 1 || v[0] == "" || len(v[0]) > mostID {
		return "", false
	}
	for _, c := range []byte(v[0]) {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return v[0], true
}

// named returns a copy of h that names the session id, or none.
func named(h http.Header, id string) http.Header {
	out := maps.Clone(h) // the values are never written to
	if out == nil {
		out = http.Header{}
	}
	delete(out, headerSession)
	if id != "" {
		out[headerSession] = []string{id}
	}
	return out
}

// ofMessage are the fields of a request that say something of its own message,
// stream or answer, and nothing of who sends it.
var ofMessage = []string{
	headerSession, headerLast, headerVersion, headerMethod, "Mcp-Name",
	"Content-Length", "Content-Encoding", "Expect", "Trailer", "Accept-Encoding", "Te", "Connection", "Upgrade",
	"Idempotency-Key", "X-Idempotency-Key", "X-Request-Id", // a gateway would answer with what it said to that one
	"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
}

// own returns the header of a message of ours beside a client's request.
func own(h http.Header, at view) http.Header {
	out := maps.Clone(h)
	if out == nil {
		out = http.Header{}
	}
	for _, name := range ofMessage {
		delete(out, name)
	}
	for name := range out { // whatever else announces the body's parts
		if strings.HasPrefix(name, "Content-") {
			delete(out, name)
		}
	}
	out["Content-Type"] = []string{"application/json"}
	out["Accept"] = []string{"application/json, text/event-stream"}
	if at.id != "" {
		out[headerSession] = []string{at.id}
	}
	if at.version != "" {
		out[headerVersion] = []string{at.version}
	}
	return out
}
