package e2e_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// visit is a request as it reached an upstream.
type visit struct {
	method, path, proto string
	header              http.Header
	status              int // that the guard gave: 200 stands for what is behind it
}

// upstream is a TLS server that serves nobody without the token.
type upstream struct {
	url string // https://name, without a port

	mu     sync.Mutex
	admits func(bearer string) bool
	visits []visit
}

// upstream starts a server for name that wants token as a bearer, speaks the
// given protocols (of ALPN) and has h behind its guard.
func (w *world) upstream(name, token string, protocols []string, h http.Handler) *upstream {
	w.t.Helper()
	return w.protected(name, equals(token), protocols, h)
}

// protected is upstream with a judge of bearers in place of a token.
func (w *world) protected(name string, admits func(bearer string) bool, protocols []string, h http.Handler) *upstream {
	w.t.Helper()
	u := &upstream{url: "https://" + name, admits: admits}
	s := httptest.NewUnstartedServer(u.guard(h))
	s.EnableHTTP2 = slices.Contains(protocols, "h2")
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.cert}, NextProtos: protocols}
	s.Config.ErrorLog = log.New(w.t.Output(), "upstream: ", 0)
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.place(name+":443", s.Listener.Addr().String())
	return u
}

// guard answers 401 at once, with the body unread, unless the token is right.
func (u *upstream) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.record(r) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// record keeps r and returns whether it may pass: with one Authorization, and
// a bearer that is right.
func (u *upstream) record(r *http.Request) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	v := visit{method: r.Method, path: r.URL.EscapedPath(), proto: r.Proto, header: r.Header.Clone(), status: http.StatusOK}
	if len(r.Header["Authorization"]) != 1 || !u.admits(bearerOf(r.Header)) {
		v.status = http.StatusUnauthorized
	}
	u.visits = append(u.visits, v)
	return v.status == http.StatusOK
}

func bearerOf(h http.Header) string {
	bearer, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	return bearer
}

func equals(token string) func(string) bool {
	return func(bearer string) bool { return bearer == token }
}

// accept makes token the only one that is right.
func (u *upstream) accept(token string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.admits = equals(token)
}

// to returns the visits to path, in order.
func (u *upstream) to(path string) []visit {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(u.visits), func(v visit) bool { return v.path != path })
}

// wantVisit checks that exactly one request came to path, in that protocol,
// with the token or, if token is empty, without any.
func (u *upstream) wantVisit(t *testing.T, path, proto, token string) {
	t.Helper()
	vs := u.to(path)
	if len(vs) != 1 {
		t.Fatalf("%d requests for %s arrived, want one", len(vs), path)
	}
	var want []string
	if token != "" {
		want = []string{"Bearer " + token}
	}
	if got := vs[0].header["Authorization"]; !slices.Equal(got, want) {
		t.Errorf("%s arrived with Authorization %q, want %q", path, got, want)
	}
	if vs[0].proto != proto {
		t.Errorf("%s arrived over %s, want %s", path, vs[0].proto, proto)
	}
}

// wantGuarded checks that requests arrived and each carried the token.
func (u *upstream) wantGuarded(t *testing.T) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.visits) == 0 {
		t.Error("no request arrived")
	}
	for _, v := range u.visits {
		if v.status != http.StatusOK {
			t.Errorf("%s %s arrived with Authorization %q", v.method, v.path, v.header["Authorization"])
		}
	}
}

// wantProto checks that every request came in that protocol.
func (u *upstream) wantProto(t *testing.T, proto string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, v := range u.visits {
		if v.proto != proto {
			t.Errorf("%s %s arrived over %s, want %s", v.method, v.path, v.proto, proto)
		}
	}
}

// digest answers with the length and the SHA-256 of the request's body.
var digest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x\n", n, h.Sum(nil))
})

// digestOf is what digest answers to body.
func digestOf(body []byte) string { return fmt.Sprintf("%d %x\n", len(body), sha256.Sum256(body)) }

var (
	http1only = []string{"http/1.1"}
	http2too  = []string{"h2", "http/1.1"}
)
