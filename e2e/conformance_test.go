package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestConformanceThroughTheProxyIsWhatItIsWithout: the protocol's own suite
// looks at a real server twice, at its own door and through the proxy, which
// keeps its sessions. Each check of each scenario says the same of both. The
// suite wants a server on localhost for what it asks about DNS rebinding, and
// some of its requests are made past Node's fetch, by hand and without TLS: a
// door takes all of them to the proxy as they are.
func TestConformanceThroughTheProxyIsWhatItIsWithout(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct {
		revision string
		flag     string // of the server: it has one era at a time
		least    int    // checks that succeed
	}{
		{"2025-11-25", "-stateless=false", 80},
		{"2026-07-28", "-stateless=true", 160},
	} {
		t.Run(tt.revision, func(t *testing.T) {
			t.Parallel()
			address := conformanceServer(t, tt.flag)
			direct := conformance(t, n, client{}, "http://"+address, tt.revision)
			w, g := newWorld(t), newGateway(t)
			var root string
			w.cert, root = newCertificate(t, "localhost")
			u := w.upstream("localhost", g.token, http2too, leadingTo(address))
			d := newDoor(t, w.addresses["localhost:443"])
			p := w.serve(options{rules: g.rules(`kind = "mcp"`, "https://"+d.host+"/"), trust: []string{root}, hidden: []string{g.token}})
			d.through(t, p)
			through := conformance(t, n, client{}, "http://"+d.host, tt.revision)
			compare(t, direct, through, tt.least)
			u.wantGuarded(t)
		})
	}
}

// compare wants the same verdict on each check, and enough good ones for the
// comparison to mean something.
func compare(t *testing.T, direct, through map[string]string, least int) {
	t.Helper()
	good := 0
	names := map[string]bool{}
	for _, verdicts := range []map[string]string{direct, through} {
		for name := range verdicts {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d, th := direct[name], through[name]
		if d != th {
			t.Errorf("%s: directly %q, on the other way %q", name, d, th)
		}
		if d == "SUCCESS" {
			good++
		}
	}
	t.Logf("%d checks, %d succeed directly", len(names), good)
	if good < least {
		t.Errorf("%d checks succeed directly, want at least %d", good, least)
	}
}

// conformance runs what a revision of the protocol requires of the server at
// url, and returns the verdict on each check, by scenario, name, and how many
// of that name came before.
func conformance(t *testing.T, n node, c client, url, revision string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	suite := filepath.Join(n.modules, "@modelcontextprotocol", "conformance", "dist", "index.js")
	// Its status tells of failed checks, which are to be compared.
	out, errs, err := c.try(t, n.program, suite, "server", "--url", url+"/", "--requirements", revision, "-o", dir)
	verdicts := verdicts(t, dir)
	if len(verdicts) == 0 {
		t.Fatalf("the suite has no results: %v\n%s%s", err, out, errs)
	}
	return verdicts
}

// verdicts returns what the suite has written into dir.
func verdicts(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*", "checks.json"))
	verdicts := map[string]string{}
	for _, f := range files {
		scenario := stamped.ReplaceAllString(filepath.Base(filepath.Dir(f)), "")
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var checks []struct{ ID, Status, ErrorMessage string }
		if err := json.Unmarshal(b, &checks); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		nth := map[string]int{}
		for _, check := range checks {
			verdicts[fmt.Sprintf("%s %s %d", scenario, check.ID, nth[check.ID])] = strings.TrimSpace(check.Status)
			nth[check.ID]++
		}
	}
	return verdicts
}

// stamped is the end of a name in the suite's results that tells when.
var stamped = regexp.MustCompile(`-\d{4}-\d\d-\d\dT[0-9-]+Z$`)

// conformanceServer starts the Go SDK's server for the suite, and returns
// where it listens.
func conformanceServer(t *testing.T, flag string) (address string) {
	t.Helper()
	program, err := conformanceBinary()
	if err != nil {
		t.Fatal(err)
	}
	// It cannot say which port it got, so it is told one that was free.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	ended, kill := client{}.daemon(t, nil, program, "-http", "127.0.0.1:"+port, flag)
	t.Cleanup(kill)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return "localhost:" + port
		}
		select {
		case <-again.C:
		case <-ended:
			t.Fatal("the conformance server ended at once")
		}
	}
}

// conformanceBinary is that server, built once.
var conformanceBinary = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "everything-server")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", name, "github.com/modelcontextprotocol/go-sdk/conformance/everything-server").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the conformance server: %w\n%s", err, out)
	}
	return name, nil
})

// leadingTo passes requests to an address, without the token, and with the
// Host that the client sent: servers on loopback look at it. A request is read
// to its end before: else an answer that is quicker than that would be cut, for
// the server that this runs in closes the request's body when it begins.
func leadingTo(address string) http.Handler {
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
		r.Out.Host = r.In.Host
		r.Out.Header.Del("Authorization")
	}, ErrorLog: quiet}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.ServeHTTP(w, r)
	})
}
