package telemetry

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/injectproxy/injectproxy/internal/record"
)

// Began begins the span of a request with the given header. It follows
// OpenTelemetry's "Semantic conventions for HTTP spans".
func (t *Traces) Began(r *record.Record, h http.Header) {
	if t == nil {
		return
	}
	ctx := context.Background()
	if t.reads {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
	}
	method := knownMethod(r.Method)
	name := method
	if r.Rule != "" {
		name += " " + r.Rule
	}
	_, r.Span = t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Start), trace.WithAttributes(
		append(target(method, r.Authority, r.Path), attribute.String("injectproxy.team", r.Team),
			attribute.String("injectproxy.rule", r.Rule), attribute.String("injectproxy.kind", r.Kind))...))
}

// Done ends it.
func (t *Traces) Done(r *record.Record) {
	if t == nil || r.Span == nil {
		return
	}
	defer r.Span.End()
	if !r.Span.IsRecording() {
		return
	}
	r.Span.SetAttributes(
		attribute.Int("http.response.status_code", r.Status), attribute.Int64("http.response.body.size", r.Bytes),
		attribute.Int("injectproxy.attempts", r.Attempts),
	)
	for _, a := range [...]struct{ key, value string }{
		{"injectproxy.client", r.Client}, {"injectproxy.token.source", r.Source}, {"injectproxy.token.fingerprint", r.Fingerprint},
		{"injectproxy.retry", r.Retry}, {"injectproxy.session", r.Session}, {"injectproxy.problem", r.Problem},
	} {
		if a.value != "" {
			r.Span.SetAttributes(attribute.String(a.key, clean(a.value)))
		}
	}
	switch {
	case r.Status == 0:
		r.Span.SetAttributes(attribute.String("error.type", "client_left"))
	case r.Status >= http.StatusInternalServerError:
		r.Span.SetAttributes(attribute.String("error.type", strconv.Itoa(r.Status)))
		r.Span.SetStatus(codes.Error, clean(r.Problem))
	}
}

// Attempt returns next with a span around each request that is sent, from its
// beginning to the header of the answer.
func (t *Traces) Attempt(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return attempts{t, next}
}

type attempts struct {
	t    *Traces
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	method := knownMethod(req.Method)
	ctx, span := a.t.below(req.Context(), method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(target(method, authorityOf(req.URL), req.URL.EscapedPath())...))
	defer span.End()
	req = req.WithContext(ctx)
	if a.t.writes {
		req.Header = req.Header.Clone()
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	}
	res, err := a.next.RoundTrip(req)
	if err != nil {
		fail(span, err)
		return res, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode),
		attribute.String("network.protocol.version", strings.TrimSuffix(strings.TrimPrefix(res.Proto, "HTTP/"), ".0")))
	if res.StatusCode >= http.StatusBadRequest {
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(res.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	return res, nil
}

// Acquisition begins the span of a token that is asked for, and what it returns
// ends it. It lies below the request whose context asker is, and which waits
// for it; where nobody does, since the old token still serves, it stands alone
// and is linked to that request. The context returned is ctx with the span.
func (t *Traces) Acquisition(ctx, asker context.Context, waits bool, a Audience) (context.Context, func(source, result string, err error)) {
	if t == nil {
		return ctx, func(string, string, error) {}
	}
	options := []trace.SpanStartOption{trace.WithAttributes(
		attribute.String("injectproxy.team", a.Team), attribute.String("injectproxy.audience", a.Name))}
	parent := spanOf(asker)
	if waits {
		ctx = trace.ContextWithSpan(ctx, parent)
	} else {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}))
	}
	ctx, span := t.tracer.Start(ctx, "acquire token", options...)
	return ctx, func(source, result string, err error) {
		defer span.End()
		span.SetAttributes(attribute.String("injectproxy.token.source", source), attribute.String("injectproxy.result", result))
		if err != nil {
			span.SetAttributes(attribute.String("error.type", result))
			span.SetStatus(codes.Error, clean(err.Error()))
		}
	}
}

// Recovery begins the span of the recovery of a session at target, host:port
// and path, and what it returns ends it.
func (t *Traces) Recovery(ctx context.Context, r Rule, at string) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.below(ctx, "recover session", trace.WithAttributes(attribute.String("injectproxy.team", r.Team),
		attribute.String("injectproxy.rule", r.Name), attribute.String("injectproxy.target", clean(at))))
	return ctx, func(err error) {
		defer span.End()
		if err != nil {
			fail(span, err)
		}
	}
}

// below begins a span below that of ctx.
func (t *Traces) below(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.tracer.Start(trace.ContextWithSpan(ctx, spanOf(ctx)), name, options...)
}

// spanOf returns the span that ctx has, or else that of the request.
func spanOf(ctx context.Context) trace.Span {
	if s := trace.SpanFromContext(ctx); s.SpanContext().IsValid() {
		return s
	}
	if s := record.FromContext(ctx).Span; s != nil {
		return s
	}
	return trace.SpanFromContext(context.Background()) // none
}

func fail(span trace.Span, err error) {
	span.SetAttributes(attribute.String("error.type", "_OTHER"))
	span.SetStatus(codes.Error, clean(err.Error()))
}

// target returns the attributes of where a request goes. There is no query in
// them.
func target(method, authority, path string) []attribute.KeyValue {
	host, port, _ := net.SplitHostPort(authority)
	n, _ := strconv.Atoi(port)
	path = clean(path)
	return append(make([]attribute.KeyValue, 0, 12), // room for the caller's
		attribute.String("http.request.method", method), attribute.String("url.scheme", "https"),
		attribute.String("url.path", path), attribute.String("url.full", "https://"+authority+path),
		attribute.String("server.address", host), attribute.Int("server.port", n))
}

func authorityOf(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":443"
}

// clean returns s fit for a span: masked, and text.
func clean(s string) string {
	return strings.ToValidUTF8(hideQueries(string(mask([]byte(s)))), "\uFFFD")
}

// knownMethod returns the method if it is one that the conventions name: what
// clients make up does not belong into a span's name.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m
	}
	return "_OTHER"
}
