package telemetry

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// GateBegan begins the span of a request to a gate with the given header, of
// which only the traceparent is read. It is named after the route.
func (t *Traces) GateBegan(r *GateRequest, h http.Header) {
	if t == nil {
		return
	}
	ctx := context.Background()
	if t.reads {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
	}
	method := knownMethod(r.Method)
	_, r.span = t.tracer.Start(ctx, method+" "+r.Route, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Start),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", r.Route),
			attribute.String("url.path", clean(r.Path))))
}

// GateDone ends it.
func (t *Traces) GateDone(r *GateRequest) {
	if t == nil || r.span == nil {
		return
	}
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	r.span.SetAttributes(
		attribute.Int("http.response.status_code", r.Status), attribute.Int64("http.response.body.size", r.Bytes),
		attribute.Int("injectproxy.attempts", r.Attempts), attribute.String("injectproxy.decision", r.Decision()),
	)
	for _, a := range [...]struct{ key, value string }{
		{"injectproxy.reason", r.Reason}, {"injectproxy.invalid", r.Invalid}, {"client.address", r.Remote}, {"injectproxy.message", r.Message}, {"injectproxy.name", r.Name}, {"injectproxy.tid", r.Tenant},
		{"injectproxy.oid", r.Object}, {"injectproxy.client", r.Client}, {"injectproxy.token.fingerprint", r.Fingerprint},
		{"injectproxy.exchange", r.Exchange}, {"injectproxy.upstream", r.Upstream}, {"injectproxy.session", r.session()}, {"injectproxy.problem", r.Problem},
	} {
		if a.value != "" {
			r.span.SetAttributes(attribute.String(a.key, clean(a.value)))
		}
	}
	switch {
	case r.Status == 0:
		r.span.SetAttributes(attribute.String("error.type", "client_left"))
	case r.Status >= http.StatusInternalServerError:
		r.span.SetAttributes(attribute.String("error.type", strconv.Itoa(r.Status)))
		r.span.SetStatus(codes.Error, clean(r.Problem))
	}
}
