package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// Traces tells a collector of OpenTelemetry what happens to each request: a span
// for the request, below it one for each time that it is sent upstream, for the
// token that it has to wait for and for the recovery of its session. Spans hold
// what the request line holds, no more.
//
// A traceparent of the client makes the request's span a child, and passes on
// as it came. A nil Traces traces nothing and costs nothing. Its methods may be
// called concurrently.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	reads    bool // the client's traceparent
	writes   bool // ours, in its place
}

// OpenTraces returns what the environment asks for by the usual variables of
// OpenTelemetry, nil if it does not ask for traces: OTEL_TRACES_EXPORTER (otlp,
// console, none), or an OTEL_EXPORTER_OTLP_ENDPOINT or _TRACES_ENDPOINT;
// OTEL_EXPORTER_OTLP_PROTOCOL (http/protobuf, grpc); OTEL_SDK_DISABLED;
// OTEL_PROPAGATORS, which has to name tracecontext for our own traceparent to go
// upstream. What else there is of them is read by the library.
//
// Exporters ignore the proxy that the environment names: it may well be this
// one. Settings that cannot be are an error; what fails later is told to log,
// once a minute at most.
func OpenTraces(ctx context.Context, version string, log *slog.Logger) (*Traces, error) {
	names, err := exporters()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	t := new(Traces)
	t.reads, t.writes = propagates()
	complaints := &complaints{log: log}
	otel.SetErrorHandler(complaints) // the library has no other place for these
	otel.SetLogger(logr.FromSlogHandler(complaintLog{complaints}))
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "injectproxy"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		complaints.unset(err) // what could be read of it is used
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	for _, name := range names {
		exporter, err := newExporter(ctx, name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("OTEL_TRACES_EXPORTER %s: %w", name, err), sdktrace.NewTracerProvider(options...).Shutdown(ctx))
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	t.tracer = t.provider.Tracer("github.com/injectproxy/injectproxy", trace.WithInstrumentationVersion(version))
	return t, nil
}

// exporters returns the exporters that the environment asks for.
func exporters() (names []string, err error) {
	if strings.EqualFold(strings.TrimSpace(os.Getenv("OTEL_SDK_DISABLED")), "true") {
		return nil, nil
	}
	list := listed(os.Getenv("OTEL_TRACES_EXPORTER"))
	if len(list) == 0 && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		list = []string{"otlp"}
	}
	for _, name := range list {
		switch name {
		case "none":
		case "otlp", "console":
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER %q: want otlp, console or none", name)
		}
	}
	return names, nil
}

// listed returns the words of a list.
func listed(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// propagates says what is done about a traceparent: the client's is read unless
// the environment names other propagators, and ours goes upstream only where it
// names this one.
func propagates() (reads, writes bool) {
	named := listed(os.Getenv("OTEL_PROPAGATORS"))
	writes = slices.Contains(named, "tracecontext") && !slices.Contains(named, "none")
	return writes || len(named) == 0, writes
}

func newExporter(ctx context.Context, name string) (sdktrace.SpanExporter, error) {
	if name == "console" {
		return stdouttrace.New(stdouttrace.WithWriter(os.Stdout)) // as it is now: a command may need its own for data
	}
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch strings.TrimSpace(protocol) {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx, otlptracehttp.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }))
	case "grpc":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithDialOption(grpc.WithNoProxy()))
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q: want http/protobuf or grpc", protocol)
}

// Close sends what is left, but waits for that no longer than limit. Nothing is
// traced after it.
func (t *Traces) Close(limit time.Duration) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return t.provider.Shutdown(ctx)
}
