package clientenv

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// absent skips the test, or fails it where everything has to be present.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// exceptionsOf are lists in all the ways in which people write them.
var exceptionsOf = []string{
	"*", ".", "", "corp.example", ".corp.example", "*.corp.example", "*corp.example", "corp.example.", "CORP.example", "orp.example",
	"mcp.corp.example", ".mcp.corp.example", "mcp.corp.example:443", "mcp.corp.example:8443", "corp.example:443", "mcp.*.example", "mcp*",
	"https://mcp.corp.example", "example", ".example", "other.test mcp.corp.example", "other.test,\tmcp.corp.example", "other.test",
	"10.1.2.3", "10.1.2.3:443", "10.0.0.0/8", "10.1.2.3/32", "10.2.0.0/16", "10.", "10.1", "10.*", "0.0.0.0/0",
	"2001:db8::1", "[2001:db8::1]", "2001:db8::/32", "[2001:db8::1]:443", "::/0",
}

var authoritiesOf = []string{"mcp.corp.example:443", "mcp.corp.example:8443", "10.1.2.3:443", "[2001:db8::1]:443"}

// TestWhatRealClientsBypassIsLifted holds covers against clients that this
// package did not write: what one of them takes as an exception is lifted.
func TestWhatRealClientsBypassIsLifted(t *testing.T) {
	t.Parallel()
	readers := map[string]func(t *testing.T, list string) []string{"Go": goBypasses, "Python": pythonBypasses(t), "curl": curlBypasses(t)}
	for name, bypassed := range readers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := 0
			for _, list := range exceptionsOf {
				for _, authority := range bypassed(t, list) {
					found++
					if _, lifted := without([]string{authority}, list); len(lifted) == 0 {
						t.Errorf("NO_PROXY=%q would keep %s from the proxy", list, authority)
					}
				}
			}
			if found < 15 {
				t.Errorf("only %d lists have an effect: the reader does not read", found)
			}
		})
	}
}

func goBypasses(t *testing.T, list string) (bypassed []string) {
	c := httpproxy.Config{HTTPSProxy: "http://proxy.test:1", NoProxy: list}
	for _, authority := range authoritiesOf {
		via, err := c.ProxyFunc()(&url.URL{Scheme: "https", Host: authority})
		if err != nil {
			t.Fatal(err)
		}
		if via == nil {
			bypassed = append(bypassed, authority)
		}
	}
	return bypassed
}

// pythonSource prints for each list on stdin which arguments it exempts.
const pythonSource = `
import json, os, sys, urllib.request as u
for list in json.load(sys.stdin):
    os.environ["no_proxy"] = list
    print(*[a for a in sys.argv[1:] if u.proxy_bypass_environment(a)])
`

// pythonBypasses asks one Python for all lists: it takes long to start.
func pythonBypasses(t *testing.T) func(t *testing.T, list string) []string {
	answers := sync.OnceValue(func() []string {
		cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-ISc", pythonSource}, authoritiesOf...)...)
		lists, err := json.Marshal(exceptionsOf)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = bytes.NewReader(lists)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(out), "\n")
	})
	return func(t *testing.T, list string) []string {
		if _, err := exec.LookPath("python3"); err != nil {
			absent(t, "there is no Python")
		}
		return strings.Fields(answers()[slices.Index(exceptionsOf, list)])
	}
}

// curlBypasses lets curl choose between a proxy that takes notes and places
// that hang up.
func curlBypasses(t *testing.T) func(t *testing.T, list string) []string {
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.RequestURI)
		mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	args, stands := []string{"-q", "-s", "-g", "-k"}, map[string]string{} // authority to the one that stands for it
	for _, authority := range authoritiesOf {
		stands[authority] = hangingUp(t)
		args = append(args, "--connect-to", authority+":"+stands[authority], "https://"+authority+"/")
	}
	return func(t *testing.T, list string) []string {
		if _, err := exec.LookPath("curl"); err != nil {
			absent(t, "there is no curl")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		mu.Lock()
		asked = nil
		mu.Unlock()
		cmd := exec.CommandContext(ctx, "curl", args...)
		cmd.Env = []string{"https_proxy=" + proxy.URL, "no_proxy=" + list}
		cmd.Run() // it fails either way: by whom it went is what counts
		if ctx.Err() != nil {
			t.Fatal("curl hangs")
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(slices.Clone(authoritiesOf), func(a string) bool { return slices.Contains(asked, stands[a]) })
	}
}

// hangingUp returns the address of a listener that closes each connection.
func hangingUp(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}
