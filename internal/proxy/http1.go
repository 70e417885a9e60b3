package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// http1Conn is a client's HTTP/1 connection, at the door or intercepted. The
// server writes some refusals (malformed request line, bad or missing Host,
// header too large) itself, before any handler runs; here they get the form
// that all answers of this proxy have. And it reads some requests that it
// should refuse: here they get to it in a form that it does.
type http1Conn struct {
	net.Conn
	lookout lookout
	leave   context.CancelFunc // ends the requests' context; nil before there is one
	taken   bool               // by a handler, from net/http
	framing framing
	busy    atomic.Bool // with a request that a handler has seen: nothing that is written is net/http's own
	poison  []byte      // what is left to read of an ambiguous request
	spoilt  bool        // there was one: nothing from the wire is read any more
}

// poison makes a request malformed to net/http in whichever line it stands: a
// NUL may be in no field, and in a chunk's extension, where it may be, a CR
// must end the line.
const poison = "\x00\r\r\n\r\n"

// Read implements net.Conn. An ambiguous request ends in poison where the
// ambiguity is.
func (c *http1Conn) Read(p []byte) (int, error) {
	if c.spoilt {
		if len(c.poison) == 0 {
			return 0, io.EOF
		}
		n := copy(p, c.poison)
		c.poison = c.poison[n:]
		return n, nil
	}
	// A single byte is how net/http looks for the client's end. Behind whole
	// requests it can mean nothing else, and finds nothing.
	if len(p) == 1 && c.framing.at == betweenRequests && c.lookout.putOff() {
		return 0, nil
	}
	n, err := c.lookout.take(p), error(nil)
	if n == 0 {
		n, err = c.Conn.Read(p)
	}
	clean, bad := c.framing.pass(p[:n])
	if bad == nil {
		return n, err
	}
	c.spoilt, c.poison = true, []byte(poison)
	if clean == 0 {
		return c.Read(p)
	}
	return clean, nil
}

// CloseWrite closes the write side, where the connection has one.
func (c *http1Conn) CloseWrite() error { return closeWrite(c.Conn) }

// idle says that the answer to a request is out, whose handler made c busy.
func idle(c net.Conn, state http.ConnState) {
	if c, ok := c.(*http1Conn); ok && state == http.StateIdle {
		c.busy.Store(false)
	}
}

type http1Key struct{}

// refusalHead is what net/http writes behind the status line of a refusal of
// its own, in one Write with the body.
var refusalHead = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// expectationHead begins what net/http writes for an Expect that it does not
// know. No upstream's answer does: its own fields go before Connection.
var expectationHead = []byte("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nDate: ")

// Write implements net.Conn.
func (c *http1Conn) Write(p []byte) (int, error) {
	if c.busy.Load() {
		return c.Conn.Write(p)
	}
	a := refusal(p)
	if a == nil {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(a.closing()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// refusal returns the answer to send in place of p if p is a refusal of
// net/http's own: its status line, refusalHead, and the status text again.
func refusal(p []byte) *Answer {
	const version = "HTTP/1.1 "
	if len(p) > 512 || !bytes.HasPrefix(p, []byte(version)) {
		return nil
	}
	if bytes.HasPrefix(p, expectationHead) {
		return malformed(http.StatusExpectationFailed, "")
	}
	line, body, ok := bytes.Cut(p[len(version):], refusalHead)
	if !ok || len(line) < 3 || (!bytes.Equal(line, body) && string(body) != "Unsupported transfer encoding") {
		return nil
	}
	status, err := strconv.Atoi(string(line[:3]))
	if err != nil || status < 400 {
		return nil
	}
	return malformed(status, string(line[3:]))
}

// malformed is the answer to a request that cannot be understood. Why is a
// fixed text of the HTTP server. Where that says 501 or 505 it is 400 here: the
// fault is the client's (RFC 9112, section 6.3), and clients try again on a 5xx.
func malformed(status int, why string) *Answer {
	a := &Answer{Status: status, Type: "malformed-request", Title: "The request is malformed", Reason: "http_request_error", Final: true,
		Hint: "This is a fault of the client program, not of the configuration."}
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		a.Type, a.Title = "header-too-large", "The request's header is too large"
		a.Detail = "The header fields together exceed " + strconv.Itoa(maxHeaderBytes>>10) + " KiB."
		a.Hint = "Often a cookie or a token that has grown too large."
	case http.StatusNotImplemented:
		a.Status = http.StatusBadRequest
		a.Detail = "Its transfer coding is not supported."
	case http.StatusExpectationFailed:
		a.Detail = "It expects something else than 100-continue."
	case http.StatusHTTPVersionNotSupported:
		a.Status = http.StatusBadRequest
		a.Detail = "Its version of HTTP is not supported."
	default:
		a.Detail = "It is not valid HTTP, or it can be read in more than one way."
		if _, reason, ok := strings.Cut(why, ": "); ok {
			a.Detail = "Reason: " + reason + "."
		}
	}
	return a
}

// closing renders a as a whole HTTP/1.1 response that ends the connection.
func (a *Answer) closing() []byte {
	body := a.body()
	h := http.Header{"Connection": {"close"}}
	a.header(h, len(body))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.Status) + " " + http.StatusText(a.Status) + "\r\n")
	h.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
