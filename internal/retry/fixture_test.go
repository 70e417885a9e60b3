package retry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bodyLimit = 512 << 10

// mint is a token source: "token-1", "token-2" and so on, or what give says.
type mint struct {
	give func(ctx context.Context, n int) (string, error)

	mu   sync.Mutex
	asks []token.Ask
}

func (m *mint) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	m.mu.Lock()
	m.asks = append(m.asks, ask)
	n := len(m.asks)
	m.mu.Unlock()
	value := fmt.Sprint("token-", n)
	if m.give != nil {
		var err error
		if value, err = m.give(ctx, n); err != nil {
			return token.Token{}, err
		}
	}
	return token.New(value, "mint", time.Now().Add(time.Hour))
}

func (m *mint) asked() []token.Ask {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]token.Ask(nil), m.asks...)
}

// route is the chain under test over a real Transport and a real server.
type route struct {
	t      *testing.T
	url    string
	next   *http.Transport
	mint   *mint
	cache  *token.Cache
	memory *replay.Budget
	stats  *retry.Stats
	log    *log
	chain  http.RoundTripper
}

type log struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// serve starts an upstream that speaks the given protocol.
func serve(t *testing.T, proto string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/warm" {
			h(w, r)
		}
	}))
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2000}
	srv.EnableHTTP2 = proto == "HTTP/2.0"
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// newRoute builds a route to srv, changed by the options.
func newRoute(t *testing.T, srv *httptest.Server, options ...func(*route, *retry.Options, *inject.Options)) *route {
	t.Helper()
	next := srv.Client().Transport.(*http.Transport).Clone()
	next.MaxIdleConnsPerHost = 100
	next.ExpectContinueTimeout = time.Minute
	r := &route{
		t: t, url: srv.URL + "/v1/", next: next, mint: &mint{},
		memory: replay.NewBudget(64 << 20), stats: new(retry.Stats), log: new(log),
	}
	r.cache = token.NewCache(r.mint, token.Options{Name: "test"})
	t.Cleanup(r.cache.Close)
	t.Cleanup(next.CloseIdleConnections)
	r.chain = r.rule(options...)
	return r
}

// rule returns another chain over the same cache.
func (r *route) rule(options ...func(*route, *retry.Options, *inject.Options)) http.RoundTripper {
	r.t.Helper()
	prefix, err := match.ParsePrefix(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	handler := slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	ro := retry.Options{Tokens: r.cache, BodyLimit: bodyLimit, Memory: r.memory, Stats: r.stats, Log: slog.New(handler)}
	io := inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: r.cache, Scheme: "Bearer"}
	for _, o := range options {
		o(r, &ro, &io)
	}
	r.memory = ro.Memory
	return retry.New(inject.New(r.next, io), ro)
}

// request returns a request for the route, with a Use in its context.
func (r *route) request(method string, body io.Reader) (*http.Request, *token.Use) {
	r.t.Helper()
	use := new(token.Use)
	req, err := http.NewRequestWithContext(token.WithUse(r.t.Context(), use), method, r.url+"x", body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.GetBody = nil // a client's body comes off a connection
	return req, use
}

// do sends a request and returns status, body and Use.
func (r *route) do(method string, body io.Reader) (int, string, *token.Use) {
	r.t.Helper()
	req, use := r.request(method, body)
	status, answer := r.send(req)
	return status, answer, use
}

func (r *route) send(req *http.Request) (int, string) {
	r.t.Helper()
	resp, err := r.chain.RoundTrip(req)
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Error(err)
	}
	return resp.StatusCode, string(answer)
}

// warm opens a connection, so that many requests at once do not each dial one.
func (r *route) warm() {
	r.t.Helper()
	resp, err := (&http.Client{Transport: r.next}).Get(strings.Replace(r.url, "/v1/", "/warm", 1))
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
}

// released fails the test unless no memory is held.
func (r *route) released() {
	r.t.Helper()
	if held := r.memory.Held(); held != 0 {
		r.t.Errorf("%d bytes are still held", held)
	}
}

// both runs f against an upstream of either protocol.
func both(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { t.Parallel(); f(t, proto) })
	}
}

// bearer returns the token that a request carries.
func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// deny answers 401.
func deny(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	http.Error(w, "denied", http.StatusUnauthorized)
}

// only accepts the one token and answers with the body's hash.
func only(accepted string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sum, err := hash(r.Body)
		switch {
		case err != nil:
			http.Error(w, "body: "+err.Error(), http.StatusBadRequest)
		case bearer(r) != accepted:
			deny(w)
		default:
			io.WriteString(w, sum)
		}
	}
}

func hash(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// content returns size bytes that do not repeat within a chunk, and their hash.
func content(size int) ([]byte, string) {
	b := make([]byte, size)
	x := uint32(size + 1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	sum, _ := hash(bytes.NewReader(b))
	return b, sum
}

// stream hides a reader's length.
type stream struct{ io.Reader }

// wantWhy fails the test unless use says why in these words; "" is no reason.
func wantWhy(t *testing.T, use *token.Use, words string) {
	t.Helper()
	switch {
	case words == "" && use.Why != nil:
		t.Errorf("why: %v, want no reason", use.Why)
	case words != "" && (use.Why == nil || !strings.Contains(use.Why.Error(), words)):
		t.Errorf("why: %v, want %q", use.Why, words)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
