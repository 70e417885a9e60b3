package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// GateRequest is what is known of a request for a route of a gate. It holds no
// secret. Names are what the client says, and are to be bounded by whoever
// fills it in. The methods that are told of one are told of the same one, in
// the order Began, Answered, Done.
type GateRequest struct {
	Start    time.Time
	Answered time.Time // when the header of the answer went downstream; zero: it has not
	Route    string    // its path, or NoRoute
	Method   string
	Path     string // without query
	Remote   string // address of the peer
	Status   int    // sent downstream; 0 if the client left before
	Bytes    int64  // of the body sent downstream
	Stream   bool   // the answer is an event stream or an upgraded connection

	Tenant, Object, Client string // of the token: tid, oid, and azp or appid; "" without one
	Fingerprint            string // of the token

	Message string // method of the JSON-RPC message, "batch", or ""
	Name    string // of the tool, resource or prompt that it is about
	Allowed bool   // passed on
	Reason  string // why not, of a fixed set of words; "" if it was passed on
	Invalid string // what is wrong with the token, of a fixed set of words; "" if none was refused
	Problem string // title of what the gate answered itself, "" for what the upstream did

	Upstream string // host:port that was asked last
	Attempts int    // upstreams that were asked
	Lost     bool   // the upstream did not know a session that it had given
	Late     bool   // it was passed on and not answered in time

	// Exchange is what came of exchanging the token: "ok", or why there is none, of
	// a fixed set of words; "" if none was needed.
	Exchange string

	counted *gateSeries
	span    trace.Span
}

// NoRoute is in place of the path of a route of requests that none takes.
const NoRoute = "none"

// Decision is the word for what became of a request: it was passed on, or not,
// or needed no decision since the gate answers it, as a browser's preflight.
func (r *GateRequest) Decision() string {
	switch {
	case r.Allowed:
		return "allowed"
	case r.Reason != "" || r.Problem != "" || r.Status == 0:
		return "denied"
	}
	return "answered"
}

// GateLine logs what r says about one request that took d: at level info, or at
// debug what strangers can have it say for nothing. It holds neither query nor
// body, and of the token only the fingerprint and whom it is of. Where the level is
// off it costs nothing.
func GateLine(log *slog.Logger, r *GateRequest, d time.Duration) {
	ctx, level := context.Background(), slog.LevelInfo
	if r.strange() {
		level = slog.LevelDebug
	}
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := gateFacts(r, d)
	for _, a := range [...]struct{ key, value string }{
		{"message", r.Message}, {"name", r.Name}, {"reason", r.Reason}, {"invalid", r.Invalid}, {"tid", r.Tenant}, {"oid", r.Object}, {"client", r.Client},
		{"token", r.Fingerprint}, {"exchange", r.Exchange}, {"upstream", r.Upstream}, {"session", r.session()}, {"problem", r.Problem},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if r.Late {
		attrs = append(attrs, slog.Bool("late", true))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// strange reports whether r is of nobody whom the gate knows, and was refused for
// that, or is for nothing that it serves.
func (r *GateRequest) strange() bool {
	return r.Object == "" && r.Status == http.StatusUnauthorized && !r.Allowed || r.Route == NoRoute
}

// gateFacts are what every line about a request says, with room for the rest.
func gateFacts(r *GateRequest, d time.Duration) []slog.Attr {
	return append(make([]slog.Attr, 0, 23),
		slog.String("route", r.Route),
		slog.String("method", r.Method),
		slog.String("path", r.Path),
		slog.String("remote", r.Remote),
		slog.String("decision", r.Decision()),
		slog.Int("status", r.Status),
		slog.Int("attempt", r.Attempts),
		slog.Float64("duration_ms", milliseconds(d)),
		slog.Int64("bytes", r.Bytes),
	)
}

// session says what has become of the session that the request was of.
func (r *GateRequest) session() string {
	if r.Lost {
		return "lost"
	}
	return ""
}

// Gate writes what r says about a request that took d: who asked for which
// tool, and what was decided. All keys are in each line; time is when the
// request began.
func (a *Audit) Gate(r *GateRequest, d time.Duration) {
	if a == nil {
		return
	}
	line := slog.NewRecord(r.Start.UTC(), slog.LevelInfo, "", 0)
	line.AddAttrs(gateFacts(r, d)...)
	line.AddAttrs(
		slog.String("reason", r.Reason), slog.String("invalid", r.Invalid), slog.String("message", r.Message), slog.String("name", r.Name),
		slog.String("tid", r.Tenant), slog.String("oid", r.Object), slog.String("client", r.Client), slog.String("token", r.Fingerprint),
		slog.String("exchange", r.Exchange), slog.String("upstream", r.Upstream), slog.String("session", r.session()), slog.Bool("late", r.Late), slog.String("problem", r.Problem),
	)
	a.format.Handle(context.Background(), line)
}
