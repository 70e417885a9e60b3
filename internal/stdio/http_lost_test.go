package stdio

import "testing"

// TestSessionThatCannotBeReplacedIsTold holds what a client is told that names a
// session which the server does not know, and that nothing else is taken for that.
func TestSessionThatCannotBeReplacedIsTold(t *testing.T) {
	t.Parallel()
	const hint = "another could not be begun in its place: the server answered 4"
	for name, tt := range map[string]struct {
		session         string
		status          int
		mediaType, body string
		want            string // of what the client is told
		passed          bool   // what the server says stays its own
	}{
		"404":                           {"s", 404, "text/plain", "Session not found", "has lost the session, and " + hint + "04 Not Found: Session not found. Hint: if that stays so, restart the server in the client", false},
		"404 without words":             {"s", 404, "", "", hint, false},
		"404 of the reference servers":  {"s", 404, typeJSON, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`, hint, false},
		"400 of the reference servers":  {"s", 400, typeJSON, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`, hint, false},
		"400 of the server in Python":   {"s", 400, typeJSON, `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Server not initialized"}}`, hint, false},
		"400 in plain words":            {"s", 400, "text/plain", "Unknown Mcp-Session-Id", hint, false},
		"404 about something else":      {"s", 404, typeJSON, `{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"Resource not found"}}`, "the server answered 404 Not Found", true},
		"400 about something else":      {"s", 400, "text/plain", "what?", "the server answered 400 Bad Request", true},
		"another status":                {"s", 403, "text/plain", "not your session", "the server answered 403 Forbidden", true},
		"a server without sessions":     {"", 404, "text/plain", "Session not found", "the server answered 404 Not Found", true},
		"an answer that is no sentence": {"s", 400, typeJSON, `{"error":1}`, "the server answered 400 Bad Request", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t, "HTTP/2.0", answers(tt.status, tt.mediaType, tt.body))
			f.s.session = tt.session
			err := f.ask(t, request(1, "x"))
			wantLine(t, "error", err, tt.want)
			_, passed := err.(*refusal)
			want(t, "passed", passed, tt.passed)
		})
	}
}
