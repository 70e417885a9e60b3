package proxy

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// FuzzIntercepted sends any bytes at all through an intercepted connection of
// a real proxy, in pieces, to an upstream that reads by the letter. The
// upstream sees the requests that stand in those bytes by the letter, in their
// order and no others, the token with those under the rule alone, and the
// client gets an answer for what it sent, each the one to its own request.
// In the bytes @ stands for the authority.
func FuzzIntercepted(f *testing.F) {
	for _, c := range smuggled {
		raw := strings.ReplaceAll(c.raw, "$", decimal(len(inner)+len("pi.test:12345")))
		f.Add([]byte(strings.ReplaceAll(raw, "%", hexadecimal(len(inner)+len("pi.test:12345")))), uint8(0))
	}
	for _, raw := range pipelines {
		f.Add([]byte(raw), uint8(16))
	}
	s := newStage(f)
	f.Fuzz(func(t *testing.T, raw []byte, piece uint8) {
		if len(raw) > 4<<10 {
			t.Skip("more of the same")
		}
		s.play(t, strings.ReplaceAll(string(raw), "@", s.authority), int(piece)*8)
	})
}

// pipelines are honest streams, from which others are made.
var pipelines = []string{
	get1("/v1/x", "@") + get1("/v1/y?q=1", "@") + get1("/other", "@"),
	get1("https://@/v1/x", "@") + request1("OPTIONS", "*", []string{"Host: @"}, ""),
	head + "Content-Length: 5\r\n\r\nhello" + head + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
	head + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi" + request1("HEAD", "/v1/x", []string{"Host: @"}, ""),
	get1("/v1/../x", "@") + get1("/v1/%2e%2e/x", "@") + get1("/v1%2fx", "@") + get1("/v1/x", "other.test") + get1("/v1/x", "@", "Connection: close, X-Token", "X-Token: mine"),
	head0 + "Content-Length: 2\r\n\r\nhi" + "\r\n\r\n" + get1("/v1/x", "@", "Proxy-Authorization: Basic eDp5", "Upgrade: x", "Connection: upgrade"),
}

// goodbye ends what a stream has said, so that an answer can be waited for.
const goodbye = "GET /goodbye HTTP/1.1\r\nHost: @\r\nConnection: close\r\n\r\n"

// stage is a proxy with one rule and a strict upstream, on loopback.
type stage struct {
	*world
	authority, token string
	tickets          tls.ClientSessionCache
	upstream         *Upstream

	mu     sync.Mutex
	closed *sync.Cond        // an upstream connection was
	live   map[net.Conn]bool // upstream connections
	seen   []spelled         // since the last play, in the order of their ends
	broken bool              // an attempt to send one failed
}

func newStage(t testing.TB) *stage {
	s := &stage{token: rand.Text(), live: map[net.Conn]bool{}, tickets: tls.NewLRUClientSessionCache(8)}
	s.closed = sync.NewCond(&s.mu)
	origins := newOrigins(t)
	l := listenLoopback(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.authority = "api.test:" + port
	cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}, NextProtos: []string{"http/1.1"}}
	s.accept(t, tls.NewListener(l, cfg))
	door := listenLoopback(t)
	s.upstream = NewUpstream(NewDialer(DialOptions{Resolve: resolveTest, Own: IsListener(door.Addr())}), &tls.Config{RootCAs: origins.pool})
	t.Cleanup(s.upstream.CloseIdleConnections)
	s.world = newWorld(t, origins, worldOptions{
		prefixes: []string{"https://" + s.authority + "/v1"},
		listener: door,
		upstream: roundTripperFunc(s.send),
		route: func(_ string, next http.RoundTripper) http.RoundTripper {
			return attachToken(s.token, next)
		},
		change: func(o *Options) {
			o.Log, o.Done = slog.New(slog.DiscardHandler), func(*record.Record) {}
		},
	})
	return s
}

// send is the upstream leg. It takes note of what breaks off there.
func (s *stage) send(r *http.Request) (*http.Response, error) {
	res, err := s.upstream.RoundTrip(r)
	if err != nil {
		s.mu.Lock()
		s.broken = true
		s.mu.Unlock()
	}
	return res, err
}

// accept serves connections until the test ends, and those of its proxy with
// it.
func (s *stage) accept(t testing.TB, l net.Listener) {
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { l.Close() })
}

// serve answers the requests of a connection, by the letter.
func (s *stage) serve(c net.Conn) {
	s.mu.Lock()
	s.live[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.live, c)
		s.closed.Broadcast()
		s.mu.Unlock()
	}()
	defer c.Close()
	for r := (letter{bufio.NewReader(c)}); ; {
		got, err := r.request(func() { io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") })
		if err == io.EOF || got.fields == nil && err != errMisspelt {
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, got)
		s.mu.Unlock()
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Target: "+got.method+" "+url.QueryEscape(got.target)+"\r\n\r\n")
	}
}

// play sends raw and a goodbye through an intercepted connection and judges
// what comes of it.
func (s *stage) play(t *testing.T, raw string, piece int) {
	raw += strings.ReplaceAll(goodbye, "@", s.authority)
	meant, end := byTheLetter(raw)
	c := s.dial(t)
	sendPieces(c, raw, piece)
	if end != io.EOF {
		c.CloseWrite() // nobody waits for the rest of what has none
	}
	// The goodbye may have become a part of what was before it.
	stays := end == io.EOF && (len(meant) == 0 || meant[len(meant)-1].target != "/goodbye")
	answers := s.answers(t, c, meant, stays)
	c.NetConn().(*net.TCPConn).SetLinger(0)
	c.NetConn().Close()
	seen := s.settle()
	s.judgeOrder(t, raw, meant, seen)
	for _, got := range seen {
		s.judgeToken(t, raw, got)
	}
	judgeAnswers(t, raw, meant, end, seen, answers)
}

// dial opens an intercepted connection, on a ticket of the one before.
func (s *stage) dial(t *testing.T) *tls.Conn {
	c, err := net.Dial("tcp", s.addr)
	fatal(t, err)
	c.SetDeadline(time.Now().Add(guard))
	io.WriteString(c, "CONNECT "+s.authority+" HTTP/1.1\r\nHost: "+s.authority+"\r\n\r\n")
	if head := readHead(t, c); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		t.Fatal(head)
	}
	tc := tls.Client(c, &tls.Config{RootCAs: s.roots, ServerName: "api.test", NextProtos: []string{"http/1.1"}, ClientSessionCache: s.tickets,
		CurvePreferences: []tls.CurveID{tls.X25519}})
	fatal(t, tc.Handshake())
	return tc
}

// answers reads the final answers until the proxy closes the connection. One that
// stays open is ended when all have come that are due.
func (s *stage) answers(t *testing.T, c *tls.Conn, meant []spelled, stays bool) (list []*http.Response) {
	for r := bufio.NewReader(c); ; {
		if stays && len(list) == len(meant) {
			c.CloseWrite()
		}
		method := "GET"
		if len(list) < len(meant) {
			method = meant[len(list)].method
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		switch {
		case isTimeout(err):
			t.Fatalf("after %d answers the connection hangs", len(list))
		case err != nil:
			return list
		case res.StatusCode >= 200:
			list = append(list, res)
		}
	}
}

// settle returns what the upstream saw, when it will see no more of it.
func (s *stage) settle() []spelled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		s.broken = false
		s.upstream.CloseIdleConnections()
		late := time.AfterFunc(200*time.Millisecond, s.hangUp)
		defer late.Stop()
		for len(s.live) > 0 {
			s.closed.Wait()
		}
	}
	seen := s.seen
	s.seen = nil
	return seen
}

// hangUp closes connections that were not idle yet when the idle ones were
// closed, and are now.
func (s *stage) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.live {
		c.Close()
	}
}

// judgeOrder finds each request that was seen among those that were meant.
func (s *stage) judgeOrder(t *testing.T, raw string, meant, seen []spelled) {
	for _, got := range seen {
		i := slices.IndexFunc(meant, func(m spelled) bool { return s.same(m, got) })
		if i < 0 {
			t.Fatalf("%q: the upstream saw %v, which is no request of it, or not in its place", raw, got)
		}
		meant = meant[i+1:]
	}
}

// same reports whether the upstream saw m, or its beginning if it broke off.
func (s *stage) same(m, got spelled) bool {
	target, host := m.target, m.field("host")
	if _, rest, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") { // absolute-form
		target, host = "/", rest // which HTTP/1.0 lets say it alone
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target, host = "/"+strings.TrimPrefix(rest[i:], "/"), rest[:i]
		}
	}
	if m.method != got.method || target != got.target || got.version != "HTTP/1.1" || got.whole && !m.whole {
		return false
	}
	return strings.EqualFold(host, got.field("host")) && (m.body == got.body || !got.whole && strings.HasPrefix(m.body, got.body))
}

// ordinary targets lie under the rule whoever reads them.
var ordinary = regexp.MustCompile(`^/v1(/[A-Za-z0-9_]+)*/?(\?[a-z=0-9]*)?$`)

// judgeToken holds that the token went where it belongs.
func (s *stage) judgeToken(t *testing.T, raw string, got spelled) {
	rawPath, _, _ := strings.Cut(got.target, "?")
	decoded, err := url.PathUnescape(rawPath)
	within := func(p string) bool { return strings.HasPrefix(path.Clean(p)+"/", "/v1/") }
	switch tokens := got.values("x-token"); {
	case slices.Contains(tokens, s.token):
		if err != nil || !within(decoded) || !within(rawPath) || len(tokens) > 1 {
			t.Fatalf("%q: the token went to %v", raw, got)
		}
	case ordinary.MatchString(got.target):
		t.Fatalf("%q: no token went to %v", raw, got)
	}
	if hosts := got.values("host"); len(hosts) != 1 || hosts[0] != s.authority {
		t.Fatalf("%q: the upstream saw the hosts %q", raw, hosts)
	}
	if got.field("proxy-authorization") != "" {
		t.Fatalf("%q: the upstream saw a proxy's credential", raw)
	}
}

// judgeAnswers holds that there is an answer, no more of them than requests,
// and none to another request than its own.
func judgeAnswers(t *testing.T, raw string, meant []spelled, end error, seen []spelled, answers []*http.Response) {
	if len(answers) == 0 && !errors.Is(end, io.ErrUnexpectedEOF) {
		t.Fatalf("%q: closed without an answer", raw)
	}
	if most := len(meant) + 1; len(answers) > most {
		t.Fatalf("%q: %d answers to %d requests", raw, len(answers), len(meant))
	}
	for _, a := range answers {
		told := a.Header.Get("X-Target")
		if told == "" {
			continue // the proxy's own
		}
		if len(seen) == 0 || told != seen[0].method+" "+url.QueryEscape(seen[0].target) {
			t.Fatalf("%q: the answer to %q stands in the place of another", raw, told)
		}
		seen = seen[1:]
	}
}
