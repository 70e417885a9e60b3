package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// mostQuoted is how much of what a server says is told in a line.
const mostQuoted = 200

// Why a call is not waited for any more.
var (
	errEnding    = &failure{code: codeOurs, line: "injectproxy ended before the server answered: the request may have been carried out"}
	errUnsent    = &failure{code: codeOurs, line: "injectproxy ended before it sent the request"}
	errWithdrawn = errors.New("the client has withdrawn the request")
)

// errorFor returns the response that answers c with f.
func errorFor(c *call, f *failure) []byte {
	code := f.code
	if code == 0 {
		code = codeOurs
	}
	return jsonrpc.ErrorBody(c.ID, code, oneLine(f.line), f.data)
}

// problem returns the response that says why there is none of the server's.
func (b *Bridge) problem(c *call, err error) []byte {
	if f, ok := errors.AsType[*failure](context.Cause(c.ctx)); ok {
		if _, unsent := errors.AsType[*unsent](err); unsent && f == errEnding {
			f = errUnsent
		}
		return errorFor(c, f)
	}
	for e := err; e != nil; e = errors.Unwrap(e) { // the outermost says more than its cause
		switch e := e.(type) {
		case *failure:
			return errorFor(c, e)
		case *refusal:
			return e.answer(c)
		}
	}
	if err == nil {
		return errorFor(c, &failure{line: "the server ended its answer without a response to the request: it may have been carried out"})
	}
	if b.o.Explain == nil {
		return errorFor(c, &failure{line: err.Error()})
	}
	line, data := b.o.Explain(err)
	return errorFor(c, &failure{line: line, data: data})
}

// answer returns the response that says what the server refused c with.
func (r *refusal) answer(c *call) []byte {
	if body := r.errorFor(c); body != nil {
		return body
	}
	return errorFor(c, &failure{line: r.line(), data: r.problem()})
}

// errorFor returns the JSON-RPC error that the server refused c with, for the id
// of c, whatever id it said itself; nil if its body is none.
func (r *refusal) errorFor(c *call) []byte {
	raw, _, ok := spokenIn(r.body)
	if !ok {
		return nil
	}
	return underID(raw, nil, c.ID)
}

// line says what the server answered.
func (r *refusal) line() string {
	line := r.Error()
	switch said := r.said(); {
	case r.location != "":
		line += ": it has moved to " + r.location + ", use that URL"
	case said != "":
		line += ": " + said
	}
	if r.retryAfter > 0 {
		line += " (try again in " + r.retryAfter.Round(time.Second).String() + ")"
	}
	return line
}

// said returns what the body tells somebody who reads it.
func (r *refusal) said() string {
	body := string(r.body)
	if m := r.members(); m != nil {
		body = ""
		for _, name := range []string{"detail", "error_description", "message", "title"} {
			if s, ok := jsonrpc.Text(m[name]); ok && body == "" {
				body = s
			}
		}
	} else if r.mediaType != "text/plain" {
		return ""
	}
	body, _, _ = strings.Cut(strings.TrimSpace(body), "\n")
	body = strings.TrimSpace(oneLine(strings.ToValidUTF8(body, "")))
	if len(body) > mostQuoted {
		body = strings.ToValidUTF8(body[:mostQuoted], "") + "…"
	}
	return body
}

// members returns those of a body that is a problem document (RFC 9457) or
// another object, nil of any other.
func (r *refusal) members() map[string]json.RawMessage {
	if r.mediaType != "application/problem+json" && r.mediaType != "application/json" {
		return nil
	}
	members, err := jsonrpc.Object(r.body)
	if err != nil {
		return nil
	}
	return members
}

// problem returns the body if it is a problem document.
func (r *refusal) problem() any {
	if r.mediaType == "application/problem+json" && r.members() != nil {
		return json.RawMessage(r.body)
	}
	return nil
}

// oneLine returns s without what moves a cursor or ends a line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// short is a method, which is the client's, as it may be logged.
func short(method string) string {
	if len(method) > 64 {
		method = method[:64]
	}
	return strings.ToValidUTF8(oneLine(method), "")
}
