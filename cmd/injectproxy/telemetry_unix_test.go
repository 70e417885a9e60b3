//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// logrotate's way: the file is renamed while requests run, and SIGHUP sent. No
// line is lost, none is torn, and the configuration is read again as ever.
func TestAuditFileIsReopenedOnHangup(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "[log]\naudit = \"logs/audit.jsonl\"\n").write(t, home)
	must(t, os.Mkdir(filepath.Join(home, "logs"), 0o700))
	file := filepath.Join(home, "logs", "audit.jsonl")
	d := startDaemon(t, home, nil)
	c := d.client("h2", nil)
	over := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	var sent []string
	progress := make(chan struct{}, 1)
	for w := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				path := fmt.Sprintf("/v1/%d/%d", w, i)
				if r, err := trySend(c, httptestRequest(t, "https://api.example.test"+path)); err != nil || r.status != 200 {
					t.Errorf("%d %v", r.status, err)
				}
				mu.Lock()
				sent = append(sent, path)
				mu.Unlock()
				select {
				case <-over:
					return
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	files := []string{file}
	for turn := range 5 {
		for range 10 {
			<-progress
		}
		old := fmt.Sprintf("%s.%d", file, turn)
		must(t, os.Rename(file, old))
		files = append(files, old)
		d.signal(syscall.SIGHUP)
		d.log.wait(t, "configuration reloaded", fmt.Sprintf("change=%d ", turn+1))
		d.log.until(t, func(text string) bool { return strings.Count(text, "audit file was opened again") > turn }, "opened again", nil)
	}
	close(over)
	load.Wait()
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	var got []string
	for _, name := range files {
		lines := auditLines(t, name)
		if len(lines) == 0 && name != file {
			t.Errorf("%s is empty", filepath.Base(name))
		}
		for _, l := range lines {
			got = append(got, l.Path)
		}
	}
	slices.Sort(got)
	slices.Sort(sent)
	if !slices.Equal(got, sent) {
		t.Errorf("%d requests, %d lines", len(sent), len(got))
	}
}

func TestServeDoesNotStartWithoutItsAuditFile(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: "[log]\naudit = \"none/audit.jsonl\"\n" + fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
	out, status := runToEnd(t, home, nil, "serve")
	if status != exitFailed || lineWith(out, "error: log.audit: ", filepath.Join(home, "none", "audit.jsonl")) == "" || lineWith(out, "hint: ") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

func TestMetricsAreOnTheAdminPort(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	admin := "127.0.0.1:" + freePort(t)
	exchangeConfig(t, o, "", "[admin]\nlisten = \""+admin+"\"\n").write(t, home)
	d := startDaemon(t, home, nil)
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	d.log.wait(t, "msg=request")
	r := call(t, http.DefaultClient, "GET", "http://"+admin+"/metrics", nil)
	r.wantStatus(t, 200)
	wantMetrics(t, readSeries(t, r.body), map[string]float64{`requests_total{code="2xx",kind="http",rule="api",team=""}`: 1, `config_reloads_total{result="ok"}`: 0})
	if !strings.Contains(r.body, "\ngo_goroutines ") || strings.Contains(r.body, tokenA) {
		t.Errorf("%.500s", r.body)
	}
	// A file that cannot be taken over shows, and a mended one, too.
	file := filepath.Join(home, "config.toml")
	good, err := os.ReadFile(file)
	must(t, err)
	for _, step := range []struct {
		content, log string
		want         map[string]float64
	}{
		{"nonsense", "configuration is broken", map[string]float64{`config_broken`: 1, `config_reloads_total{result="broken"}`: 1}},
		{string(good) + "\n", "configuration reloaded", map[string]float64{`config_broken`: 0, `config_reloads_total{result="ok"}`: 1}},
	} {
		writeTestFile(t, file, step.content)
		d.log.wait(t, step.log)
		wantMetrics(t, readSeries(t, call(t, http.DefaultClient, "GET", "http://"+admin+"/metrics", nil).body), step.want)
	}
}

// ownAddress is an address of this machine that clients would use a proxy for.
func ownAddress(t testing.TB) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	absent(t, "this machine has loopback addresses only")
	return ""
}

// spans are what a collector was sent.
type spans struct {
	mu   sync.Mutex
	all  []*otlp.Span
	from string // service.name
}

// newSpans starts a collector that takes in spans by HTTP at addr, and returns
// its URL.
func newSpans(t testing.TB, addr string) (c *spans, url string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	must(t, err)
	c = new(spans)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &in); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					c.from = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				c.all = append(c.all, ss.Spans...)
			}
		}
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return c, "http://" + l.Addr().String()
}

// grpcSpans takes them in by gRPC.
type grpcSpans struct {
	collector.UnimplementedTraceServiceServer
	*spans
}

func (c grpcSpans) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			c.all = append(c.all, ss.Spans...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// named returns the span of that name whose parent has the given id, nil for
// any.
func (c *spans) named(name string, parent []byte) *otlp.Span {
	for _, s := range c.all {
		if s.Name == name && (parent == nil || string(s.ParentSpanId) == string(parent)) {
			return s
		}
	}
	return nil
}

// A request, its attempts, the token that it waits for and the recovery of its
// session reach the collector, though the environment names a proxy, and the
// client's traceparent reaches the upstream as it came.
func TestTracesReachTheCollector(t *testing.T) {
	t.Parallel()
	c, url := newSpans(t, ownAddress(t))
	s := &capricious{sessions: map[string]bool{}, symptom: 404}
	var mu sync.Mutex
	var parents []string
	root := newLive(t, "h2", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		parents = append(parents, strings.Join(r.Header["Traceparent"], ",")+strings.Join(r.Header["Tracestate"], ","))
		mu.Unlock()
		s.ServeHTTP(w, r)
	})
	home := t.TempDir()
	authority := strings.TrimPrefix(root, "https://")
	board := newSwitchboard(t, map[string]string{authority: "127.0.0.1:" + authority[strings.LastIndexByte(authority, ':')+1:]})
	settings{
		top:    fmt.Sprintf("upstream_proxy = %q", board.url(nil)),
		tables: fileAudiences + mcpRule(root+"/mcp", `name = "tools"`), files: tokenFiles,
	}.write(t, home)
	dead := "http://127.0.0.1:" + freePort(t)
	d := startDaemon(t, home, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_SERVICE_NAME=ours", "OTEL_BSP_SCHEDULE_DELAY=3600000",
		"HTTP_PROXY=" + dead, "HTTPS_PROXY=" + dead, "ALL_PROXY=" + dead,
	})
	client := d.client("h2", nil)
	r := post(t, client, root+"/mcp", initialize)
	r.wantStatus(t, 200)
	s.forget(404, false)
	const parent, state = "00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01", "k=v,, x=y"
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tp := range []string{good, parent} { // the latter is not valid, and goes through all the same
		call(t, client, "POST", root+"/mcp?code=secret-query", strings.NewReader(callTool("1")), "Content-Type", "application/json", "Accept", streamable,
			"Mcp-Session-Id", r.header.Get("Mcp-Session-Id"), "Traceparent", tp, "Tracestate", state).wantStatus(t, 200)
	}
	d.signal(syscall.SIGTERM) // which has the rest sent
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	mu.Lock()
	if parents[0] != "" || parents[1] != good+state || parents[len(parents)-1] != parent+state {
		t.Errorf("upstream was sent %q", parents)
	}
	mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from != "ours" {
		t.Errorf("service.name %q", c.from)
	}
	caller := []byte{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}
	request := c.named("POST tools", caller)
	first := c.named("POST tools", []byte{})
	if request == nil || first == nil {
		t.Fatalf("spans %v", c.all)
	}
	recovery := c.named("recover session", request.SpanId)
	if recovery == nil {
		t.Fatalf("no recovery below the request: %v", c.all)
	}
	for name, parent := range map[string]*otlp.Span{"acquire token": first, "POST": recovery} {
		if c.named(name, parent.SpanId) == nil {
			t.Errorf("no %s below %s", name, parent.Name)
		}
	}
	attempts := 0
	for _, s := range c.all {
		if s.Name == "POST" && string(s.ParentSpanId) == string(request.SpanId) {
			attempts++
		}
		if text := s.String(); strings.Contains(text, "secret-") || strings.Contains(text, tokenA) {
			t.Errorf("a secret is in %s", text)
		}
	}
	if attempts != 2 {
		t.Errorf("%d attempts, want the refused one and the one after the recovery", attempts)
	}
}

// A collector by gRPC is reached directly, too, and a client that sends no
// traceparent has none made up upstream.
func TestTracesReachACollectorByGRPC(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", net.JoinHostPort(ownAddress(t), "0"))
	must(t, err)
	c, s := grpcSpans{spans: new(spans)}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-served })
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	dead := "http://127.0.0.1:" + freePort(t)
	d := startDaemon(t, home, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "HTTP_PROXY=" + dead, "HTTPS_PROXY=" + dead,
	})
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	if seen := o.one(t); seen.header["Traceparent"] != nil {
		t.Errorf("upstream was sent %q", seen.header)
	}
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.named("GET api", nil) == nil {
		t.Errorf("spans %v:\n%s", c.all, d.log)
	}
}

func TestTraceSettingsThatCannotBeOnlyWarn(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	d := startDaemon(t, home, []string{"OTEL_TRACES_EXPORTER=zipkin", "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=secret-key"})
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	if n := strings.Count(d.log.String(), "OTEL_"); n != 1 || lineWith(d.log.String(), "level=WARN", "zipkin", "hint=") == "" || strings.Contains(d.log.String(), "secret-key") {
		t.Errorf("%d lines:\n%s", n, d.log)
	}
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}
