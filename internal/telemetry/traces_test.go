package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/injectproxy/injectproxy/internal/record"
)

// otelCollector takes in spans as a collector of OpenTelemetry does, by HTTP.
type otelCollector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    map[string]*otlp.Span // by name
	resource map[string]string
}

func newCollector(t testing.TB) *otelCollector {
	c := &otelCollector{spans: map[string]*otlp.Span{}, resource: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &in); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				c.resource[a.Key] = a.Value.GetStringValue()
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					c.spans[s.Name] = s
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// attribute returns the value of an attribute as text.
func attributeOf(s *otlp.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.Key == key {
			if i := a.Value.GetIntValue(); i != 0 {
				return strings.TrimSpace(a.Value.String()[len("int_value:"):])
			}
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// clearOTEL unsets what the machine's own environment says.
func clearOTEL(t *testing.T, set ...string) {
	t.Helper()
	for _, name := range []string{"SDK_DISABLED", "TRACES_EXPORTER", "EXPORTER_OTLP_ENDPOINT", "EXPORTER_OTLP_TRACES_ENDPOINT", "EXPORTER_OTLP_PROTOCOL",
		"EXPORTER_OTLP_TRACES_PROTOCOL", "EXPORTER_OTLP_HEADERS", "PROPAGATORS", "SERVICE_NAME", "RESOURCE_ATTRIBUTES", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG"} {
		t.Setenv("OTEL_"+name, "")
	}
	for _, kv := range set {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

func TestTracesAreOnlyMadeWhereTheEnvironmentSaysSo(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9"
	tests := []struct {
		set  []string
		want string
	}{
		{nil, "none"},
		{[]string{endpoint}, "traces"},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:9/v1/traces"}, "traces"},
		{[]string{"OTEL_TRACES_EXPORTER=otlp"}, "traces"},
		{[]string{endpoint, "OTEL_TRACES_EXPORTER=none"}, "none"},
		{[]string{endpoint, "OTEL_SDK_DISABLED=TRUE"}, "none"},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, "traces"},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, "traces"},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{[]string{"OTEL_TRACES_EXPORTER=zipkin"}, "OTEL_TRACES_EXPORTER"},
		{[]string{"OTEL_TRACES_EXPORTER=otlp, otlp,none"}, "traces"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.set, " "), func(t *testing.T) {
			clearOTEL(t, tt.set...)
			tr, err := OpenTraces(t.Context(), "v1", slog.New(slog.DiscardHandler))
			got := "none"
			switch {
			case err != nil:
				got = "error: " + err.Error()
			case tr != nil:
				got = "traces"
			}
			if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if err := tr.Close(guard); err != nil {
				t.Error(err)
			}
		})
	}
}

// respond is an upstream that says what it was sent.
type respond func(*http.Request) (*http.Response, error)

func (f respond) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSpansOfARequest(t *testing.T) {
	c := newCollector(t)
	dead := httptest.NewServer(nil)
	dead.Close()
	clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "HTTP_PROXY="+dead.URL, "HTTPS_PROXY="+dead.URL)
	tr, err := OpenTraces(t.Context(), "v1.2", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	header := http.Header{"Traceparent": {parent}, "Tracestate": {"a=b"}, "Authorization": {"Bearer " + canary}}
	r := healed()
	r.Start, r.Session, r.Path = time.Now(), "healed", "/servers/\xff/"+jwt
	tr.Began(r, header)
	ctx := record.NewContext(t.Context(), r)

	fctx, got := tr.Acquisition(context.Background(), ctx, true, Audience{"platform", "gateway"})
	if fctx.Err() != nil || record.FromContext(fctx).Span != nil {
		t.Error("the acquisition has the request's context")
	}
	got("az", AcquiredNew, nil)
	_, got = tr.Acquisition(context.Background(), ctx, false, Audience{"platform", "quiet"})
	got("", "sign-in needed", errors.New("run az login"))

	rctx, recovered := tr.Recovery(ctx, mcpOne, "mcp.corp.example:443/servers")
	recovered(errors.New("other version"))
	upstream := tr.Attempt(respond(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Traceparent") != parent || req.Header.Get("Tracestate") != "a=b" {
			t.Errorf("upstream: %v", req.Header)
		}
		if req.Method == "DELETE" {
			return nil, errors.New(`Get "https://h/p?code=` + canary + `": refused`)
		}
		return &http.Response{StatusCode: 401, Proto: "HTTP/2.0", Body: http.NoBody}, nil
	}))
	send := func(ctx context.Context, method string) {
		req, _ := http.NewRequestWithContext(ctx, method, "https://mcp.corp.example/servers/x?code="+canary, nil)
		req.Header = header
		upstream.RoundTrip(req)
	}
	send(ctx, "POST")
	send(rctx, "PUT") // the recovery's own
	send(ctx, "DELETE")
	r.Problem, r.Status = "Bearer "+canary, 502
	tr.Done(r)
	tr.Began(&record.Record{}, http.Header{}) // never ends, and is not told
	if err := tr.Close(guard); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	root := c.spans["POST mcp-1"]
	if root == nil {
		t.Fatalf("spans: %v", c.spans)
	}
	id := func(b []byte) string { return strings.ToLower(hexOf(b)) }
	if id(root.TraceId) != "0af7651916cd43dd8448eb211c80319c" || id(root.ParentSpanId) != "b7ad6b7169203331" || root.Kind != otlp.Span_SPAN_KIND_SERVER {
		t.Errorf("root %v", root)
	}
	for key, want := range map[string]string{
		"http.request.method": "POST", "http.response.status_code": "502", "server.address": "mcp.corp.example", "server.port": "443", "url.scheme": "https",
		"injectproxy.rule": "mcp-1", "injectproxy.team": "platform", "injectproxy.kind": "mcp", "injectproxy.session": "healed", "injectproxy.attempts": "2",
		"injectproxy.token.source": "azure-cli", "injectproxy.token.fingerprint": "5f70bf18", "error.type": "502", "url.path": "/servers/\uFFFD/[redacted]",
	} {
		if got := attributeOf(root, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	below := map[string]*otlp.Span{"POST": root, "acquire token": nil, "recover session": root, "DELETE": root, "PUT": c.spans["recover session"]}
	for name, over := range below {
		s := c.spans[name]
		if s == nil {
			t.Errorf("no span %s", name)
			continue
		}
		if over != nil && !bytes.Equal(s.ParentSpanId, over.SpanId) {
			t.Errorf("%s is not below %s", name, over.Name)
		}
	}
	if got := attributeOf(c.spans["POST"], "http.response.status_code") + attributeOf(c.spans["POST"], "network.protocol.version"); got != "4012" {
		t.Errorf("attempt: %s", got)
	}
	// Both acquisitions have one name; the latter is the quiet one.
	if q := c.spans["acquire token"]; len(q.ParentSpanId) != 0 || bytes.Equal(q.TraceId, root.TraceId) || len(q.Links) != 1 || !bytes.Equal(q.Links[0].SpanId, root.SpanId) ||
		attributeOf(q, "injectproxy.result") != "sign-in needed" || q.Status.Code != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("quiet acquisition: %v", q)
	}
	if c.resource["service.name"] != "injectproxy" || c.resource["service.version"] != "v1.2" || c.resource["deployment.environment.name"] != "test" {
		t.Errorf("resource %v", c.resource)
	}
	for _, s := range c.spans {
		if all := s.String(); strings.Contains(all, canary) || strings.Contains(all, "eyJ0") {
			t.Errorf("a secret is in %s", all)
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for _, c := range b {
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

// The client's header goes upstream as it came, and none is made up, unless the
// environment names the propagator.
func TestTraceparentIsPassedThrough(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct{ propagators, in, want string }{
		{"", parent, "same"}, {"", "", "none"}, {"", "garbage", "same"},
		{"none", parent, "same"}, {"b3,none", "", "none"}, {"baggage", parent, "same"},
		{"tracecontext,baggage", parent, "child"}, {"tracecontext", "", "new"},
	} {
		t.Run(tt.propagators+" "+tt.in, func(t *testing.T) {
			c := newCollector(t)
			clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_PROPAGATORS="+tt.propagators)
			tr, err := OpenTraces(t.Context(), "v1", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close(guard)
			h := http.Header{}
			if tt.in != "" {
				h.Set("Traceparent", tt.in)
			}
			r := &record.Record{Method: "GET", Start: time.Now()}
			tr.Began(r, h)
			req, _ := http.NewRequestWithContext(record.NewContext(t.Context(), r), "GET", "https://h/", nil)
			req.Header = h.Clone()
			trailer := http.Header{"X": nil}
			req.Trailer = trailer
			var sent []string
			tr.Attempt(respond(func(out *http.Request) (*http.Response, error) {
				sent = out.Header["Traceparent"]
				if out.Trailer["X"] = []string{"1"}; trailer["X"] == nil {
					t.Error("the trailer is another map")
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			})).RoundTrip(req)
			if !slices.Equal(req.Header["Traceparent"], h["Traceparent"]) {
				t.Errorf("the caller's header has become %q", req.Header)
			}
			got := "same"
			switch {
			case len(sent) == 0:
				got = "none"
			case sent[0] == tt.in:
			case tt.in != "" && sent[0][:35] == tt.in[:35]:
				got = "child"
			default:
				got = "new"
			}
			if got != tt.want {
				t.Errorf("%s: sent %q", got, sent)
			}
		})
	}
}

func TestNilTracesCostNothing(t *testing.T) {
	var tr *Traces
	r := healed()
	next := http.DefaultTransport
	if tr.Attempt(next) != next {
		t.Error("there is a layer that does nothing")
	}
	if n := testing.AllocsPerRun(100, func() {
		tr.Began(r, nil)
		tr.Done(r)
		ctx, end := tr.Recovery(t.Context(), mcpOne, "x")
		end(nil)
		_, got := tr.Acquisition(ctx, ctx, true, Audience{})
		got("", "", nil)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if err := tr.Close(guard); err != nil || r.Span != nil {
		t.Error(err)
	}
}

// A collector that is down is told of once, without what the variables hold.
func TestCollectorThatIsDownIsToldOfOnce(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+dead.URL, "OTEL_EXPORTER_OTLP_HEADERS=x-key%zz="+canary+",y="+canary+"%zz", "OTEL_TRACES_SAMPLER=what", "OTEL_EXPORTER_OTLP_TIMEOUT=100")
	log, out := newLogger(t, "debug", "text")
	tr, err := OpenTraces(t.Context(), "v1", log)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := &record.Record{Method: "GET", Start: time.Now()}
		tr.Began(r, nil)
		tr.Done(r)
		tr.provider.ForceFlush(t.Context())
	}
	tr.Close(guard)
	if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "a setting of the environment was not understood") || strings.Contains(out.String(), canary) || !strings.Contains(out.String(), "hint=") {
		t.Errorf("logged %s", out)
	}
}

// What cannot be sent is another matter than a setting.
func TestComplaintsOfTracesSayWhatTheyAreAbout(t *testing.T) {
	log, out := newLogger(t, "info", "text")
	(&complaints{log: log}).Handle(errors.New("connection refused"))
	if got := out.String(); !strings.Contains(got, "some could not be sent") || !strings.Contains(got, "collector") {
		t.Errorf("logged %s", got)
	}
}

// grpcCollector takes in spans by gRPC.
type grpcCollector struct {
	collector.UnimplementedTraceServiceServer
	names chan string
}

func (c grpcCollector) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.names <- in.ResourceSpans[0].ScopeSpans[0].Spans[0].Name
	return new(collector.ExportTraceServiceResponse), nil
}

func TestSpansGoByGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, s := grpcCollector{names: make(chan string, 10)}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() { s.Stop(); <-served }()
	dead := httptest.NewServer(nil)
	dead.Close()
	clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "HTTPS_PROXY="+dead.URL, "HTTP_PROXY="+dead.URL)
	tr, err := OpenTraces(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &record.Record{Method: "GET", Rule: "api", Start: time.Now()}
	tr.Began(r, nil)
	tr.Done(r)
	if err := tr.Close(guard); err != nil {
		t.Error(err)
	}
	if name := <-c.names; name != "GET api" {
		t.Errorf("span %q", name)
	}
}

// A collector that does not answer holds up the end for its time, no more.
func TestCollectorThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer s.Close()
	defer close(over)
	clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.URL)
	tr, err := OpenTraces(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &record.Record{Method: "GET", Start: time.Now()}
	tr.Began(r, nil)
	tr.Done(r)
	began := time.Now()
	if err := tr.Close(10 * time.Millisecond); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("ended after %v: %v", time.Since(began), err)
	}
}
