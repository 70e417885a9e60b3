package admin

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// safeBuffer may be written by a server while a test reads it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func measuring(file string, out *safeBuffer) func(*Options) {
	return func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, 200, "injectproxy_up 1") })
		o.MetricsFile, o.Log = file, slog.New(slog.NewTextHandler(out, nil))
	}
}

func TestMetricsAreOpenOnLoopback(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", filepath.Join(t.TempDir(), "missing")} {
		out := new(safeBuffer)
		addr := start(t, new(atomic.Bool), measuring(file, out))
		if status, body := ask(t, "GET", addr, "/metrics", addr); status != 200 || body != "injectproxy_up 1\n" {
			t.Errorf("%d %s", status, body)
		}
		if status, _ := ask(t, "GET", addr, "/metrics", "evil.example"); status != 403 {
			t.Errorf("under a web page's name: %d", status)
		}
		if out.String() != "" {
			t.Errorf("logged: %s", out)
		}
	}
	if addr := start(t, new(atomic.Bool)); addr != "" {
		if status, _ := ask(t, "GET", addr, "/metrics", addr); status != 404 {
			t.Errorf("without metrics: %d", status)
		}
	}
}

func TestMetricsWantTheTokenWhereTheNetworkReachesThem(t *testing.T) {
	t.Parallel()
	file, out := filepath.Join(t.TempDir(), "token"), new(safeBuffer)
	addr := strings.Replace(startOn(t, "0.0.0.0:0", new(atomic.Bool), measuring(file, out)), "[::]", "127.0.0.1", 1)
	addr = strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1)
	scrape := func(header ...string) int {
		t.Helper()
		status, body := ask(t, "GET", addr, "/metrics", "injectproxy.svc", header...)
		if (status == 200) != strings.Contains(body, "injectproxy_up") {
			t.Errorf("%d %s", status, body)
		}
		return status
	}
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed := func() int { return strings.Count(out.String(), "/metrics is closed") }

	for range 3 {
		if scrape("Authorization", "Bearer ") != 401 || scrape() != 401 {
			t.Error("open without a file")
		}
	}
	if closed() != 1 || !strings.Contains(out.String(), "hint=") {
		t.Errorf("want one line: %s", out)
	}
	for _, content := range []string{"", "\n", "two words", "a\nb", strings.Repeat("a", maxToken+1), "é"} {
		put(content)
		if scrape("Authorization", "Bearer "+strings.ReplaceAll(strings.TrimSpace(content), "\n", "")) != 401 || scrape("Authorization", "Bearer ") != 401 {
			t.Errorf("open with %.10q", content)
		}
	}
	put("first-token\n")
	for _, header := range [][]string{
		nil, {"Authorization", "Bearer"}, {"Authorization", "Bearer first"}, {"Authorization", "Bearer first-tokens"}, {"Authorization", "first-token"},
		{"Authorization", "Basic first-token"}, {"Authorization", "right"}, {"Authorization", "Bearer first-token", "Authorization", "Bearer first-token"},
		{"Cookie", "first-token"},
	} {
		if scrape(header...) != 401 {
			t.Errorf("open to %q", header)
		}
	}
	if scrape("Authorization", "Bearer first-token") != 200 || scrape("Authorization", "bearer first-token") != 200 {
		t.Error("closed to who has the token")
	}
	put("second-token\r\n")
	if scrape("Authorization", "Bearer first-token") != 401 || scrape("Authorization", "Bearer second-token") != 200 {
		t.Error("the former token is still good")
	}
	if strings.Contains(out.String(), "-token") {
		t.Errorf("a token is in the log: %s", out)
	}
	_, cookie := enter(t, addr, ticket(t, addr))
	if scrape("Cookie", cookie) != 401 {
		t.Error("open to a cookie")
	}
	if status, _ := ask(t, "GET", addr, "/status.json", "injectproxy.svc", "Authorization", "right"); status != 403 {
		t.Errorf("the status under any name: %d", status)
	}
}

func TestPortThatTheNetworkReachesIsAskedByItsAddress(t *testing.T) {
	t.Parallel()
	ready := new(atomic.Bool)
	ready.Store(true)
	addr := startOn(t, "0.0.0.0:0", ready)
	port := addr[strings.LastIndex(addr, ":")+1:]
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "localhost"} {
		if status, _ := ask(t, "GET", "127.0.0.2:"+port, "/status.json", host+":"+port, "Authorization", "right"); status != 200 {
			t.Errorf("by %s: %d", host, status)
		}
	}
	for _, host := range []string{"127.0.0.3:" + port, "127.0.0.2:1", "127.0.0.2", "evil.example:" + port} {
		for _, path := range []string{"/status.json", "/", "/open", "/enter", "/readyz/"} {
			if status, _ := ask(t, "GET", "127.0.0.2:"+port, path, host, "Authorization", "right"); status != 403 {
				t.Errorf("%s by %s: %d", path, host, status)
			}
		}
		for _, path := range []string{"/healthz", "/readyz"} { // which probes ask for by the name of a service
			if status, _ := ask(t, "GET", "127.0.0.2:"+port, path, host); status != 200 {
				t.Errorf("%s by %s: %d", path, host, status)
			}
		}
	}
}
