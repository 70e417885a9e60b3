package stdio

import (
	"net/http"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// The fields of "Streamable HTTP" ("Transports" of MCP), and what resuming a
// stream of events takes, in the form of net/http's maps.
const (
	headerSession = "Mcp-Session-Id"
	headerVersion = "Mcp-Protocol-Version"
	headerLast    = "Last-Event-Id"
)

const (
	typeJSON   = "application/json"
	typeStream = "text/event-stream"
)

const (
	mostSession = 1 << 10 // bytes of a session's id
	mostVersion = 64
	mostEventID = 4 << 10 // of an event's, which is sent back in a field
)

// header returns what each request has, and names the session.
func (s *streamable) header() http.Header {
	h := s.o.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h["Accept-Encoding"] = []string{"identity"} // events are to come one by one, and the Route does not decode
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != "" {
		h[headerSession] = []string{s.session}
	}
	if s.version != "" {
		h[headerVersion] = []string{s.version}
	}
	return h
}

// headerOf returns the header of the POST of a message. An initialize belongs to
// no session yet.
func (s *streamable) headerOf(m message) http.Header {
	h := s.header()
	if isInitialize(m) {
		delete(h, headerSession)
		delete(h, headerVersion)
	}
	h["Content-Type"] = []string{typeJSON}
	h["Accept"] = []string{typeJSON + ", " + typeStream}
	if s.fields != nil {
		s.fields(h, m)
	}
	return h
}

// begun takes the session that the answer to an initialize gives.
func (s *streamable) begun(h http.Header) error {
	given := h[headerSession]
	if len(given) > 1 || len(given) == 1 && !visible(given[0], mostSession) {
		return &failure{code: codeOurs, line: "the server gave the session an id that MCP does not allow (longer than 1 KiB, or not visible ASCII): tell whoever runs the server"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.session
	s.session, s.version = "", ""
	if len(given) == 1 {
		s.session = given[0]
	}
	if before != "" && before != s.session {
		s.former = before
	}
	return nil
}

// negotiated takes the version of the protocol from the response to an
// initialize, before the client has it and says more.
func (s *streamable) negotiated(raw []byte) {
	m, _, err := parse(raw)
	if err != nil || m.Kind != jsonrpc.Response {
		return
	}
	result, err := jsonrpc.Object(m.Result)
	if err != nil {
		return
	}
	if version, ok := jsonrpc.Text(result["protocolVersion"]); ok && version != "" && visible(version, mostVersion) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.version = version
	}
}

// visible reports whether s is visible ASCII, and at most so long.
func visible(s string, most int) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= most
}
