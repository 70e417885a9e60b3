package proxy

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
)

// http1Conn is a client's HTTP/1 connection, at the door or intercepted. The
// server writes some refusals (malformed request line, bad or missing Host,
// header too large) itself, before any handler runs; here they get the form
// that all answers of this proxy have.
type http1Conn struct {
	net.Conn
}

// CloseWrite closes the write side, where the connection has one.
func (c *http1Conn) CloseWrite() error { return closeWrite(c.Conn) }

// refusalHead is what net/http writes behind the status line of a refusal of
// its own, in one Write with the body.
var refusalHead = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// Write implements net.Conn.
func (c *http1Conn) Write(p []byte) (int, error) {
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
// fixed text of the HTTP server.
func malformed(status int, why string) *Answer {
	a := &Answer{Status: status, Type: "malformed-request", Title: "The request is malformed", Reason: "http_request_error", Final: true}
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		a.Type, a.Title = "header-too-large", "The request's header is too large"
		a.Detail = "The header fields together exceed " + strconv.Itoa(maxHeaderBytes>>10) + " KiB."
	case http.StatusNotImplemented:
		a.Detail = "Its transfer coding is not supported."
	default:
		if _, reason, ok := bytes.Cut([]byte(why), []byte(": ")); ok {
			a.Detail = "Reason: " + string(reason) + "."
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
