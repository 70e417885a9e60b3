package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// start returns the address of a server that admits whoever shows "right".
func start(t *testing.T, ready *atomic.Bool, change ...func(*Options)) string {
	t.Helper()
	return startOn(t, "127.0.0.1:0", ready, change...)
}

func startOn(t *testing.T, listen string, ready *atomic.Bool, change ...func(*Options)) string {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Admit: func(net.Conn) func([]string) error {
			return func(h []string) error {
				if slices.Equal(h, []string{"right"}) {
					return nil
				}
				return errors.New("no")
			}
		},
		Ready:  ready.Load,
		Status: func() any { return map[string]string{"detail": "shown"} },
	}
	for _, f := range change {
		f(&o)
	}
	s := New(l.Addr(), o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// ask returns the status and body of one request; header is names and values.
func ask(t *testing.T, method, addr, path, host string, header ...string) (int, string) {
	t.Helper()
	status, _, body := askAll(t, method, addr, path, host, header...)
	return status, body
}

// askAll is ask that returns the header too.
func askAll(t *testing.T, method, addr, path, host string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", res.Header)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestStatusIsForThoseWhoAreAdmitted(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	status, body := ask(t, "GET", addr, "/status.json", addr, "Authorization", "right")
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got["detail"] != "shown" {
		t.Errorf("%d %s", status, body)
	}
	for _, header := range [][]string{nil, {"Authorization", "wrong"}, {"Authorization", "right", "Authorization", "right"}} {
		if status, body := ask(t, "GET", addr, "/status.json", addr, header...); status != 401 || strings.Contains(body, "shown") {
			t.Errorf("%q: %d %s", header, status, body)
		}
	}
}

func TestHealthIsOpenAndTellsNothingElse(t *testing.T) {
	t.Parallel()
	ready := new(atomic.Bool)
	addr := start(t, ready)
	for _, tt := range []struct {
		ready  bool
		path   string
		status int
		body   string
	}{
		{true, "/healthz", 200, "ok\n"}, {false, "/healthz", 200, "ok\n"},
		{true, "/readyz", 200, "ready\n"}, {false, "/readyz", 503, "draining\n"},
	} {
		ready.Store(tt.ready)
		if status, body := ask(t, "GET", addr, tt.path, addr); status != tt.status || body != tt.body {
			t.Errorf("%+v: %d %q", tt, status, body)
		}
	}
}

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	t.Parallel()
	ready := new(atomic.Bool)
	ready.Store(true)
	addr := start(t, ready)
	_, port, _ := net.SplitHostPort(addr)
	for host, want := range map[string]int{
		"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LocalHost:" + port: 200, "[::1]:" + port: 200,
		"evil.example:" + port: 403, "127.0.0.1.evil.example:" + port: 403, "localhost.evil.example:" + port: 403,
		"127.0.0.1": 403, "localhost": 403, "127.0.0.1:1": 403, "127.0.0.2:" + port: 403, "0.0.0.0:" + port: 403,
	} {
		for _, path := range []string{"/healthz", "/status.json", "/", "/page.js", "/open"} {
			if status, body := ask(t, "GET", addr, path, host, "Authorization", "right"); status != want || want == 403 && (strings.Contains(body, "shown") || strings.Contains(body, "ticket")) {
				t.Errorf("Host %s: %d %s, want %d", host, status, body, want)
			}
		}
	}
}

func TestWebPagesAndOtherMethodsAreRefused(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "none": 200, "same-origin": 200} {
		if status, _ := ask(t, "GET", addr, "/healthz", addr, "Sec-Fetch-Site", site); status != want {
			t.Errorf("Sec-Fetch-Site %s: %d, want %d", site, status, want)
		}
	}
	for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		if status, _ := ask(t, method, addr, "/status.json", addr, "Authorization", "right"); status != 405 {
			t.Errorf("%s: %d", method, status)
		}
	}
	if status, _ := ask(t, "GET", addr, "/other", addr, "Authorization", "right"); status != 404 {
		t.Errorf("another path: %d", status)
	}
}
