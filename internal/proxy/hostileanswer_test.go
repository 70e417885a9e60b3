package proxy

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostileAnswer is what an upstream answers to one request, byte for byte.
type hostileAnswer struct {
	name, raw string
	method    string // "" is GET
	want      string // status and body that the client gets; "!" behind it for a body that broke off
	ends      bool   // the upstream closes behind it
	kept      bool   // the upstream's connection is good for the next request
	gone      chan struct{}
}

// startSplit starts an upstream that answers the first request of each connection with
// raw, and all others harmlessly, and tells when a connection ends.
func startSplit(t *testing.T, origins *authorityForTests, answers map[string]hostileAnswer) (authority string) {
	t.Helper()
	l := origins.listenTLS(t, "api.test", nil)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				split(c, answers)
			})
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort("api.test", port)
}

func split(c net.Conn, answers map[string]hostileAnswer) {
	for r := bufio.NewReader(c); ; {
		q, err := readHeard(r, c)
		if err != nil {
			return
		}
		a, ok := answers[strings.TrimPrefix(q.target, "/v1/")]
		if !ok {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
			continue
		}
		defer func() { a.gone <- struct{}{} }()
		if _, err := io.WriteString(c, a.raw); err != nil || a.ends {
			return
		}
	}
}

// readTold reads one answer as strictly as readHeard reads a request.
func readTold(r *bufio.Reader, method string) (status int, body string, err error) {
	for status < 200 {
		line, err := readLine(r)
		if err != nil {
			return 0, "", err
		}
		version, rest, _ := strings.Cut(line, " ")
		code, _, _ := strings.Cut(rest, " ")
		if status, err = strconv.Atoi(code); err != nil || len(code) != 3 || status < 100 || version != "HTTP/1.1" {
			return 0, "", fmt.Errorf("status line %q", line)
		}
		var q heard
		if q.fields, err = readFields(r); err != nil {
			return 0, "", err
		}
		switch {
		case status < 200:
			continue
		case method == "HEAD", status == 204, status == 304:
			return status, "", nil
		case q.values("Content-Length") == nil && q.values("Transfer-Encoding") == nil:
			b, err := io.ReadAll(r)
			return status, string(b), err
		}
		err = q.readBody(r)
		return status, q.body, err
	}
	return 0, "", errors.New("unreachable")
}

// No answer is more than one, or ends elsewhere than it says, whatever comes
// from the upstream; and what is beyond one is for nobody.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	answers := map[string]hostileAnswer{}
	for i, a := range hostileAnswers {
		a.gone = make(chan struct{}, 100)
		answers[decimal(i)] = a
	}
	for _, client := range []string{"h1", "h2"} {
		authority := startSplit(t, origins, answers)
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}})
		for i, a := range hostileAnswers {
			method := cmp.Or(a.method, "GET")
			t.Run(a.name+", "+client+" client", func(t *testing.T) {
				var got string
				if client == "h1" {
					got = askStrictly(t, w.tlsTo(authority, "http/1.1"), method, "/v1/"+decimal(i), authority)
				} else {
					f := get2("/v1/"+decimal(i), authority)
					f[1] = method
					got = inShort(newHTTP2Raw(t, w.tlsTo(authority, "h2")).request(f, "", nil))
				}
				if got != a.want && got != cutAtOnce(a.want) {
					t.Errorf("got %q, want %q", got, a.want)
				}
				if !a.kept {
					<-answers[decimal(i)].gone
				}
				if next := askStrictly(t, w.tlsTo(authority, "http/1.1"), "GET", "/v1/next", authority); next != "200 next" {
					t.Errorf("the next request got %q", next)
				}
			})
		}
	}
}

// cutAtOnce returns what a client gets of an answer that ends in "!" if it
// breaks off before the proxy has passed its header on.
func cutAtOnce(want string) string {
	if strings.HasSuffix(want, "!") {
		return "0!"
	}
	return want
}

func askStrictly(t *testing.T, c net.Conn, method, path, authority string) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(guard))
	_, err := io.WriteString(c, request1(method, path, []string{"Host: " + authority}, ""))
	fatal(t, err)
	status, body, err := readTold(bufio.NewReader(c), method)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Errorf("the answer is not well-formed: %v", err)
	}
	return inShort(reply{status: status, body: body, err: err})
}

func inShort(r reply) string {
	if r.status == 502 && strings.Contains(r.body, "urn:injectproxy:problem:") {
		return "502"
	}
	s := strings.TrimSpace(fmt.Sprintf("%d %s", r.status, r.body))
	if r.err != nil {
		s += "!"
	}
	return s
}
