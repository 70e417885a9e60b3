package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answer is an answer of the proxy's own, as an error: a route returns it in
// place of a response. It never has status 401 and never carries a
// WWW-Authenticate field, because clients would start a sign-in of their own.
//
// On the wire it is a problem document (RFC 9457) with a Proxy-Status field
// (RFC 9209). Detail and Hint are shown to the client's user: they hold no
// secret and no text of the Go runtime.
type Answer struct {
	Status     int           // HTTP status, never 401
	Type       string        // short name of the kind of problem, "upstream-refused"
	Title      string        // the problem in a few words, the same for every occurrence
	Detail     string        // this occurrence
	Hint       string        // what to do about it; "" if there is nothing
	Reason     string        // Proxy-Status error type (RFC 9209, section 2.3), "" for none
	RetryAfter time.Duration // sent as Retry-After where positive
	Received   int           // status of the upstream's answer that this one replaces, 0 if there is none
	Final      bool          // trying again cannot help
	Err        error         // cause, for logs; never sent

	// ID is that of the JSON-RPC request that is answered, as it was sent. If it
	// is set, the answer is a JSON-RPC error with status 200: see [errorCode].
	ID json.RawMessage

	// Unasked says that what is answered is a JSON-RPC message that wants no
	// response: the body of a final answer is then an error of no request, too.
	// SDKs take another refusal of such a message for the end of the session.
	Unasked bool
}

// Error implements error.
func (a *Answer) Error() string {
	if a.Detail == "" {
		return a.Title
	}
	return a.Title + ": " + a.Detail
}

// Unwrap returns the cause.
func (a *Answer) Unwrap() error { return a.Err }

// problem is the body of an answer.
type problem struct {
	JSONRPC string        `json:"jsonrpc,omitempty"`
	ID      *string       `json:"id,omitempty"`
	Type    string        `json:"type"`
	Title   string        `json:"title"`
	Status  int           `json:"status"`
	Detail  string        `json:"detail,omitempty"`
	Hint    string        `json:"hint,omitempty"`
	Error   *problemError `json:"error,omitempty"`
}

// problemError repeats the hint where model SDKs look for the reason of a
// failure they must not retry.
type problemError struct {
	Code    int    `json:"code,omitempty"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (a *Answer) problem() problem {
	return problem{Type: "urn:injectproxy:problem:" + a.Type, Title: a.Title, Status: a.Status, Detail: a.Detail, Hint: a.Hint}
}

// Document is a as a problem document (RFC 9457), to be marshalled.
func (a *Answer) Document() any { return a.problem() }

func (a *Answer) body() []byte {
	p := a.problem()
	if a.Final {
		p.Error = &problemError{Type: a.Type, Message: firstOf(a.Hint, a.Detail, a.Title)}
		if a.Unasked {
			p.asMessage(a)
		}
	}
	b, err := json.Marshal(p)
	if err != nil { // strings and an int always marshal
		panic(err)
	}
	return append(b, '\n')
}

// header adds the fields of a to h.
func (a *Answer) header(h http.Header, bodyLen int) {
	h.Set("Content-Type", "application/problem+json")
	if a.ID != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(bodyLen))
	h.Set("Cache-Control", "no-store")
	h.Set("Proxy-Status", a.proxyStatus())
	if a.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((a.RetryAfter+time.Second-1)/time.Second)))
	}
	if a.Final {
		h.Set("X-Should-Retry", "false")
	}
	if a.Status == http.StatusProxyAuthRequired {
		h.Set("Proxy-Authenticate", `Basic realm="injectproxy", charset="UTF-8"`)
	}
}

// proxyStatus returns the value of the Proxy-Status field: a structured field
// (RFC 8941) whose details parameter is a string of printable ASCII.
func (a *Answer) proxyStatus() string {
	s := "injectproxy"
	if a.Reason != "" {
		s += "; error=" + a.Reason
	}
	if a.Received != 0 {
		s += "; received-status=" + strconv.Itoa(a.Received)
	}
	var d strings.Builder
	for _, r := range a.Error() {
		switch {
		case r == '"' || r == '\\':
			d.WriteByte('\\')
			d.WriteRune(r)
		case r >= ' ' && r <= '~':
			d.WriteRune(r)
		default:
			d.WriteByte('?')
		}
	}
	return s + `; details="` + d.String() + `"`
}

// write sends a as the response to r.
func (a *Answer) write(w http.ResponseWriter, r *http.Request) {
	status, body := a.Status, a.body()
	if a.ID != nil {
		status, body = http.StatusOK, a.rpcBody()
	}
	a.header(w.Header(), len(body))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // the client may be gone: there is nobody to tell
	}
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
