package proxy

import (
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestH2specFindsNothingThatItDoesNotFindInGo: h2spec, which knows nothing of
// proxies, speaks HTTP/2 with the proxy in an intercepted tunnel, and with
// Go's own server directly. What Go's server stands, the proxy stands.
func TestH2specFindsNothingThatItDoesNotFindInGo(t *testing.T) {
	t.Parallel()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
	program := h2spec(t)
	// The shim stands on one loopback address and the origin on another with
	// the same port: the authority that h2spec says is that of the CONNECT.
	shim := listenLoopback(t)
	_, port, _ := net.SplitHostPort(shim.Addr().String())
	elsewhere := netip.MustParseAddr("127.83.12.42")
	l, err := net.Listen("tcp", net.JoinHostPort(elsewhere.String(), port))
	if err != nil {
		unavailable(t, "a second loopback address: "+err.Error())
	}
	origins := newOrigins(t)
	origins.serveUpstream(t, l, "localhost", "h2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	w := newWorld(t, origins, worldOptions{
		prefixes: []string{"https://localhost:" + port + "/"},
		dial:     DialOptions{Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{elsewhere}, nil }},
	})
	w.serveShim(shim, "localhost:"+port)
	var direct, through map[string]string
	var both sync.WaitGroup
	both.Go(func() { direct = runH2spec(t, program, elsewhere.String(), port) })
	both.Go(func() { through = runH2spec(t, program, "localhost", port) })
	both.Wait()
	for name, failure := range through {
		if failure != "" && direct[name] == "" {
			t.Errorf("%s: %s", name, failure)
		}
	}
	if len(through) < 90 || len(direct) != len(through) || w.intercepted(t) < 90 {
		t.Errorf("%d tests through the proxy, which saw %d requests, and %d directly", len(through), w.intercepted(t), len(direct))
	}
	t.Logf("of %d tests %d fail through the proxy and %d directly", len(through), failures(through), failures(direct))
}

// intercepted returns how many requests reached the proxy.
func (w *world) intercepted(t *testing.T) int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records)
}

// h2spec returns where the program is.
func h2spec(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("INJECTPROXY_E2E_CACHE"); dir != "" {
		if p, err := exec.LookPath(filepath.Join(dir, "bin", "h2spec")); err == nil {
			return p
		}
	}
	p, err := exec.LookPath("h2spec")
	if err != nil {
		unavailable(t, "h2spec is not installed")
	}
	return p
}

// serveShim makes of each connection to l one to authority through the proxy.
func (w *world) serveShim(l net.Listener, authority string) {
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := connectTo(context.Background(), w.addr, authority)
			if err != nil {
				w.t.Errorf("CONNECT %s: %v", authority, err)
				c.Close()
				continue
			}
			conns.Go(func() { io.Copy(up, c); closeWrite(up) })
			conns.Go(func() { io.Copy(c, up); c.Close(); up.Close() })
		}
	})
	w.t.Cleanup(conns.Wait)
	w.t.Cleanup(func() { l.Close() })
}

// runH2spec returns the failure of each of h2spec's tests, "" for none.
func runH2spec(t *testing.T, program, host, port string) map[string]string {
	report := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-t", "-k", "-o", "2", "-h", host, "-p", port, "-j", report).CombinedOutput()
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Errorf("h2spec left no report: %v\n%s", err, out)
		return nil
	}
	var suites struct {
		Suites []struct {
			ID    string `xml:"id,attr"`
			Cases []struct {
				Class   string `xml:"classname,attr"`
				Package string `xml:"package,attr"`
				Failure string `xml:"failure"`
				Error   string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Errorf("h2spec's report: %v", err)
	}
	results := map[string]string{}
	for _, s := range suites.Suites {
		for i, c := range s.Cases {
			results[c.Package+" "+strconv.Itoa(i)+": "+c.Class] = cmp.Or(c.Failure, c.Error)
		}
	}
	return results
}

func failures(results map[string]string) (n int) {
	for _, failure := range results {
		if failure != "" {
			n++
		}
	}
	return n
}
