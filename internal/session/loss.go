package session

import (
	"bytes"
	"net/http"
)

// losses are what servers say beside a 400 when they mean that a session is
// lost, in lower case.
var losses = [][]byte{
	[]byte("no valid session id"),
	[]byte("server not initialized"),
	[]byte("unknown mcp-session-id"),
	[]byte("invalid session id"),
	[]byte("invalid or missing session id"),
}

// symptom returns the sign of a lost session that an answer is, "" if it is
// none: the 404 of the specification, whatever it says, or one of the ways to
// say it with 400. The code of a JSON-RPC error means nothing: every server has
// its own.
func symptom(res *http.Response) string {
	switch res.StatusCode {
	case http.StatusNotFound:
		return "404"
	case http.StatusBadRequest:
		said := bytes.ToLower(plain(res.Header, peek(res)))
		for _, l := range losses {
			if bytes.Contains(said, l) {
				return "400"
			}
		}
	}
	return ""
}

// normalise passes a request, and answers as the specification wants it where
// the server says with 400 that the session is lost.
func (t *transport) normalise(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err == nil && res.StatusCode == http.StatusBadRequest && symptom(res) != "" {
		res.StatusCode, res.Status = http.StatusNotFound, "404 "+http.StatusText(http.StatusNotFound)
		t.o.Note(req.Context(), Event{Kind: Lost, Session: digest(req.Header.Get(headerSession)), Target: target(req), Detail: "400"})
	}
	return res, err
}
