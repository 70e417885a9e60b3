package inject_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source gives one token and counts how often it is asked.
type source struct {
	mu    sync.Mutex
	asked int
	err   error
}

func (s *source) Token(context.Context, token.Ask) (token.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil {
		return token.Token{}, s.err
	}
	return token.New("the-token", "test", time.Now().Add(time.Hour))
}

func newCache(t testing.TB, s *source) *token.Cache {
	c := token.NewCache(s, token.Options{Name: "test"})
	t.Cleanup(c.Close)
	return c
}

// upstream is a TLS server that remembers the last request.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen *http.Request
	body string
}

func newUpstream(t *testing.T, proto string) *upstream {
	u := new(upstream)
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.seen, u.body = r, string(body)
	}))
	u.EnableHTTP2 = proto == "HTTP/2.0"
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

// last returns the request that the upstream saw last, or nil, and forgets it.
func (u *upstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	defer func() { u.seen = nil }()
	return u.seen
}

func (u *upstream) route(t *testing.T, s *source, o inject.Options) http.RoundTripper {
	t.Helper()
	prefix, err := match.ParsePrefix(u.URL + "/v1/")
	if err != nil {
		t.Fatal(err)
	}
	o.Prefixes, o.Tokens = []match.Prefix{prefix}, newCache(t, s)
	return inject.New(u.Client().Transport, o)
}

// body knows whether it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends req, whose answer is of no interest.
func do(t *testing.T, rt http.RoundTripper, req *http.Request) error {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.Request != req {
		t.Error("the response carries the request that holds the token")
	}
	return nil
}

// without returns what h says, without the names, in a form to compare.
func without(h http.Header, names ...string) string {
	h = h.Clone()
	for _, name := range names {
		h.Del(name)
	}
	var b strings.Builder
	h.Write(&b)
	return b.String()
}

func both(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { t.Parallel(); f(t, proto) })
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func literal(value string) func() (string, error) {
	return func() (string, error) { return value, nil }
}

func values(h http.Header, name string) string {
	return fmt.Sprintf("%q", h[textproto.CanonicalMIMEHeaderKey(name)])
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func upstreamOptions(t testing.TB, u *upstream) inject.Options {
	t.Helper()
	prefix, err := match.ParsePrefix(u.URL + "/v1/")
	if err != nil {
		t.Fatal(err)
	}
	return inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: newCache(t, new(source)), Scheme: "Bearer"}
}

func dial(t *testing.T, srv *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
