package gate

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// codeDenied is the code of the gate's own JSON-RPC errors, the one that the
// proxy and the bridge use for theirs.
const codeDenied = -32016

// answer is what the gate says in place of the upstream. Its text may be shown
// to everybody.
type answer struct {
	status int
	kind   string // short name, the last part of the document's type
	title  string // the same for every occurrence
	detail string
	hint   string // what to do about it; "" if there is nothing

	denied     string // why, a word of Denials
	challenge  string // value of WWW-Authenticate; "" for none
	retryAfter time.Duration
	code       int  // of the JSON-RPC error; 0: codeDenied
	readable   bool // for a JSON-RPC request the status is 200: it is the one shape that agents show as it is
}

// document is an answer as a problem document (RFC 9457).
type document struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// refuse answers the request. Its JSON-RPC requests get an error each, since
// clients take another body for the end of their session; the rest gets a problem
// document.
func (x *exchange) refuse(a answer) {
	x.seen.Denied, x.seen.Problem = a.denied, a.title
	d := document{Type: "urn:injectproxy:problem:" + a.kind, Title: a.title, Status: a.status, Detail: a.detail, Hint: a.hint}
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if a.challenge != "" {
		h.Set("WWW-Authenticate", a.challenge)
	}
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(a.retryAfter.Round(time.Second)/time.Second)))
	}
	body, isRPC := x.message.errors(a, d)
	h.Set("Content-Type", "application/problem+json")
	switch {
	case isRPC:
		h.Set("Content-Type", "application/json")
		if a.readable {
			a.status = http.StatusOK
		}
	default:
		body, _ = json.Marshal(d) // strings and an int always marshal
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(a.status)
	_, _ = x.w.Write(body)
}

// line is the whole answer in one line.
func (a answer) line() string {
	line := a.title
	if a.detail != "" {
		line += ": " + a.detail
	}
	if a.hint != "" {
		line += ". " + a.hint
	}
	return line
}
