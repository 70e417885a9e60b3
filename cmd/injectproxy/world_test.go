package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// TestMain makes the test binary the real program where it is called by that
// name, one of Azure's tools likewise, and a client where it runs as another
// user.
func TestMain(m *testing.M) {
	atOnce(8)
	if name := playedTool(); name != "" {
		playTool(name)
	}
	if addr := os.Getenv(strangerVar); addr != "" {
		os.Exit(strangerMain(addr))
	}
	testscript.Main(leakless{m}, map[string]func(){"injectproxy": main})
}

// atOnce has n tests run at a time, unless -parallel says how many: most of what
// they do is wait.
func atOnce(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}

// leakless fails a run that leaves goroutines behind.
type leakless struct{ *testing.M }

func (l leakless) Run() int {
	status := l.M.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// guard bounds waiting for events that must come; it is never what a test
// measures.
const guard = 60 * time.Second

// settings are a config.toml in three parts, and the files beside it.
type settings struct {
	top    string               // keys before the first table
	tables string               // everything else
	entra  *entratest.Authority // the identity service, nil for none
	files  map[string]string    // by name
}

// write makes the configuration in dir and returns the name of its config.toml.
func (s settings) write(t testing.TB, dir string) string {
	t.Helper()
	files := map[string]string{"origins.pem": string(origins().pem)}
	maps.Copy(files, s.files)
	trusted := []string{"origins.pem"}
	var b strings.Builder
	if !strings.Contains(s.top, "listen") {
		fmt.Fprintln(&b, `listen = "127.0.0.1:0"`)
	}
	if !strings.Contains(s.top, "upstream_proxy") {
		fmt.Fprintln(&b, `upstream_proxy = "direct"`)
	}
	if !strings.Contains(s.top+s.tables, "admin") { // one address for all would be taken
		fmt.Fprintln(&b, `admin = { listen = "" }`)
	}
	if s.entra != nil {
		files["entra.pem"] = string(s.entra.CAPEM())
		trusted = append(trusted, "entra.pem")
	}
	fmt.Fprintf(&b, "upstream_ca = [\"%s\"]\n%s\n", strings.Join(trusted, `", "`), s.top)
	if s.entra != nil {
		fmt.Fprintf(&b, "[entra]\nauthority_host = %q\ndisable_instance_discovery = true\n", s.entra.URL())
	}
	b.WriteString(s.tables)
	files["config.toml"] = b.String()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		writeTestFile(t, filepath.Join(dir, name), files[name])
	}
	return filepath.Join(dir, "config.toml")
}

// writeTestFile replaces a file as a whole, as those who rotate secrets do.
func writeTestFile(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o700))
	must(t, os.WriteFile(name+".new", []byte(content), 0o600))
	must(t, os.Rename(name+".new", name))
}

// testbed is the composed program on loopback, in this process.
type testbed struct {
	*instance
	t    testing.TB
	dir  string // of config.toml and the files beside it
	addr string // of the proxy port
	log  *eventLog
	root *x509.Certificate // of the proxy's CA
}

// newTestbed builds and serves the configuration s. Names below .test resolve
// to 127.0.0.1. Everybody is admitted, unless change says otherwise.
func newTestbed(t testing.TB, s settings, change ...func(*config.Config, *surroundings)) *testbed {
	t.Helper()
	b := &testbed{t: t, dir: t.TempDir(), log: new(eventLog)}
	cfg, problems := config.Load(s.write(t, b.dir))
	if cfg == nil || verdict(problems) != nil {
		t.Fatalf("the configuration of the test is broken: %v", problems)
	}
	l, err := net.Listen("tcp", cfg.Listen)
	must(t, err)
	b.addr = l.Addr().String()
	around := surroundings{
		listeners: []net.Addr{l.Addr()}, resolve: resolveTestName,
		environ: noTools(b.dir), toolDirs: []string{}, dialIdentity: dialNoMetadata,
	}
	around.authority = ephemeralCA(t, cfg)
	around.access, err = access.New("open", access.Credential{})
	must(t, err)
	cfg.Log.Level = "debug"
	for _, f := range change {
		f(cfg, &around)
	}
	around.log, err = telemetry.NewLogger(b.log, cfg.Log.Level, cfg.Log.Format)
	must(t, err)
	b.root = around.authority.Root()
	b.instance, err = build(cfg, around)
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Shutdown(canceled()) // whatever a test left open ends now
		<-served
		b.close()
	})
	return b
}

// noTools is an environment in which there is no az, and in which one that a
// test puts into bin below dir has no session.
func noTools(dir string) []string {
	return []string{"PATH=" + filepath.Join(dir, "bin"), "HOME=" + dir, "AZURE_CONFIG_DIR=" + filepath.Join(dir, "azure")}
}

// metadataAddr is where virtual machines find their identity.
const metadataAddr = "169.254.169.254:80"

// dialNoMetadata finds no metadata service: the machine that runs the tests may
// well have one.
func dialNoMetadata(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == metadataAddr {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("network is unreachable")}
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func ephemeralCA(t testing.TB, cfg *config.Config) *ca.Authority {
	t.Helper()
	permit, err := ca.ParsePermit(cfg.Permitted())
	must(t, err)
	authority, err := ca.Ephemeral(permit, nil)
	must(t, err)
	return authority
}

func resolveTestName(_ context.Context, host string) ([]netip.Addr, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if strings.HasSuffix(host, ".test") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// write replaces a file beside config.toml.
func (b *testbed) write(name, content string) {
	b.t.Helper()
	writeTestFile(b.t, filepath.Join(b.dir, name), content)
}

// client returns a client of the proxy that speaks "h1" or "h2" inside its
// tunnels. It trusts the proxy's CA and the origins.
func (b *testbed) client(proto string) *http.Client {
	return clientOf(b.t, &url.URL{Scheme: "http", Host: b.addr}, b.root, proto)
}

func clientOf(t testing.TB, via *url.URL, root *x509.Certificate, proto string) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	pool.AddCert(origins().cert)
	tr := &http.Transport{
		Proxy:              http.ProxyURL(via),
		TLSClientConfig:    &tls.Config{RootCAs: pool},
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(true) // what is tunnelled may have nothing else
	tr.Protocols.SetHTTP2(proto == "h2")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       guard,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reply is an answer as the client saw it.
type reply struct {
	status int
	header http.Header
	body   string
}

// call sends one request; header is names and values in turn.
func call(t testing.TB, c *http.Client, method, target string, body io.Reader, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return send(t, c, req)
}

func send(t testing.TB, c *http.Client, req *http.Request) reply {
	t.Helper()
	r, err := trySend(c, req)
	if err != nil {
		t.Errorf("%s %s: %v", req.Method, req.URL, err)
	}
	return r
}

// trySend is for goroutines other than the test's, and for requests that fail.
func trySend(c *http.Client, req *http.Request) (reply, error) {
	res, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b)}, err
}

// wantStatus fails the test unless r has the status.
func (r reply) wantStatus(t testing.TB, want int) {
	t.Helper()
	if r.status != want {
		t.Errorf("status %d, want %d: %.300s", r.status, want, r.body)
	}
}

// problemDocument is the body of an answer of the proxy's own.
type problemDocument struct {
	Type, Title, Detail, Hint string
	Status                    int
	Error                     *struct{ Type, Message string }
}

// problem reads r, which has to be an answer of the proxy's own with the given
// status, and holds what is true of all of them.
func (r reply) problem(t testing.TB, status int) (p problemDocument) {
	t.Helper()
	r.wantStatus(t, status)
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Errorf("not a problem document: %v: %.300s", err, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if !strings.HasPrefix(r.header.Get("Proxy-Status"), "injectproxy; ") {
		t.Errorf("Proxy-Status %q", r.header.Get("Proxy-Status"))
	}
	if p.Status != status || r.status == http.StatusUnauthorized || r.header["Www-Authenticate"] != nil {
		t.Errorf("problem of status %d in an answer of status %d, WWW-Authenticate %q", p.Status, r.status, r.header["Www-Authenticate"])
	}
	if final := r.header.Get("X-Should-Retry") == "false"; final != (p.Error != nil) {
		t.Errorf("x-should-retry says final: %v, error in the body: %v", final, p.Error)
	}
	return p
}

// eachLeg runs f for both protocols of the client and both kinds of upstream.
func eachLeg(t *testing.T, f func(t *testing.T, client, upstream string)) {
	for _, client := range []string{"h1", "h2"} {
		for _, upstream := range []string{"h1", "h2"} {
			t.Run(client+" to "+upstream, func(t *testing.T) { f(t, client, upstream) })
		}
	}
}

// absent skips the test, or fails it where everything has to be present.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// thorough skips a test that takes much of a processor where not everything is
// wanted.
func thorough(t testing.TB) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
