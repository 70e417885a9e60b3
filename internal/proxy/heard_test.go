package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// listener is an upstream that shares no code with net/http. It reads HTTP/1.1
// in the one form in which all readers of it agree, and writes down whatever
// comes in another form. Every request is answered with 200.
type listener struct {
	mu    sync.Mutex
	conns []*hearing
}

// hearing is one connection to a listener.
type hearing struct {
	conn     net.Conn
	bytes    []byte  // all that came
	requests []heard // the whole ones
	rest     error   // why there is no further one: io.EOF between two requests, io.ErrUnexpectedEOF within one
	ended    chan struct{}
}

// heard is a request as it lay on the wire.
type heard struct {
	method, target string
	fields         [][2]string
	body           string
	trailers       [][2]string
}

// values returns what the request says under name.
func (h heard) values(name string) (list []string) {
	for _, f := range h.fields {
		if strings.EqualFold(f[0], name) {
			list = append(list, f[1])
		}
	}
	return list
}

// serve hears c out.
func (l *listener) serve(c net.Conn) {
	h := &hearing{conn: c, ended: make(chan struct{})}
	l.mu.Lock()
	l.conns = append(l.conns, h)
	l.mu.Unlock()
	defer close(h.ended)
	defer c.Close()
	r := bufio.NewReader(io.TeeReader(c, (*appender)(&h.bytes)))
	for h.rest == nil {
		var q heard
		if q, h.rest = readHeard(r, c); h.rest == nil {
			h.requests = append(h.requests, q)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// take has all connections end, waits until they have and returns them.
func (l *listener) take() []*hearing {
	l.mu.Lock()
	list := l.conns
	l.conns = nil
	l.mu.Unlock()
	for _, h := range list {
		if c, ok := h.conn.(*tls.Conn); ok {
			c.Handshake() // a connection may come when nobody wants it any more
		}
		closeWrite(h.conn)
		<-h.ended
	}
	return list
}

// startListener starts a listener with TLS, or in the clear for the host "".
func startListener(t testing.TB, origins *authorityForTests, host string) (*listener, string) {
	t.Helper()
	l := new(listener)
	tcp := listenLoopback(t)
	if host != "" {
		tcp = origins.listenTLS(t, host, nil)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { l.serve(c) })
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { tcp.Close() })
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	return l, net.JoinHostPort("api.test", port)
}

// readHeard reads one request, whose body it asks for through w where the
// client waits for that. An error that is no end says what was not as it must
// be.
func readHeard(r *bufio.Reader, w io.Writer) (q heard, err error) {
	if _, err := r.Peek(1); err != nil {
		return q, io.EOF
	}
	line, err := readLine(r)
	if err != nil {
		return q, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !httpguts.ValidHeaderFieldName(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return q, fmt.Errorf("request line %q", line)
	}
	q.method, q.target = parts[0], parts[1]
	if q.fields, err = readFields(r); err != nil {
		return q, err
	}
	if n := len(q.values("Host")); n != 1 {
		return q, fmt.Errorf("%d Hosts", n)
	}
	if q.values("Expect") != nil {
		io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	return q, q.readBody(r)
}

// readLine reads a line that ends in CRLF and has no control byte but tabs.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", io.ErrUnexpectedEOF
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", fmt.Errorf("line %q", line)
	}
	return text, nil
}

// readFields reads a header or trailers, and the empty line behind it.
func readFields(r *bufio.Reader) (fields [][2]string, err error) {
	for {
		line, err := readLine(r)
		if err != nil || line == "" {
			return fields, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("field %q", line)
		}
		fields = append(fields, [2]string{name, strings.Trim(value, " \t")})
	}
}

func (q *heard) readBody(r *bufio.Reader) error {
	lengths, codings := q.values("Content-Length"), q.values("Transfer-Encoding")
	switch {
	case len(lengths)+len(codings) == 0:
		return nil
	case len(codings) == 0 && len(lengths) == 1 && digits(lengths[0], "0123456789"):
		n, err := strconv.ParseInt(lengths[0], 10, 63)
		if err != nil {
			return err
		}
		return q.readPart(r, n)
	case len(lengths) == 0 && slices.Equal(codings, []string{"chunked"}):
		return q.readChunks(r)
	}
	return fmt.Errorf("lengths %q and codings %q", lengths, codings)
}

func (q *heard) readPart(r *bufio.Reader, n int64) error {
	b, err := io.ReadAll(io.LimitReader(r, n))
	q.body += string(b)
	if err != nil || int64(len(b)) < n {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (q *heard) readChunks(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(line, 16, 63)
		if err != nil || !digits(line, "0123456789abcdefABCDEF") {
			return fmt.Errorf("chunk size %q", line)
		}
		if size == 0 {
			return q.readTrailers(r)
		}
		if err := q.readPart(r, size); err != nil {
			return err
		}
		if line, err := readLine(r); line != "" || err != nil {
			return errors.Join(fmt.Errorf("%q behind a chunk", line), err)
		}
	}
}

// readTrailers reads what may come behind a body, and nothing that speaks of
// the message itself or of who sent it (RFC 9110, section 6.5.1).
func (q *heard) readTrailers(r *bufio.Reader) (err error) {
	q.trailers, err = readFields(r)
	for _, f := range q.trailers {
		switch strings.ToLower(f[0]) {
		case "content-length", "transfer-encoding", "host", "authorization", "x-token", "connection", "set-cookie":
			err = fmt.Errorf("trailer %q", f)
		}
	}
	return err
}

// digits reports whether s is of those in set and nothing else.
func digits(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }
