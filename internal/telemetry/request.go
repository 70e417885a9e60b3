package telemetry

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// RequestLine logs, at level info, what r says about one intercepted request
// that took d. It holds neither query nor body, and of the token only the
// fingerprint. Where the level is off it costs nothing.
func RequestLine(log *slog.Logger, r *record.Record, d time.Duration) {
	ctx := context.Background()
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := requestFacts(r, d)
	if r.Client != "" {
		attrs = append(attrs, slog.String("client", r.Client))
	}
	if r.Retry != "" {
		attrs = append(attrs, slog.String("retry", r.Retry))
	}
	if r.Session != "" {
		attrs = append(attrs, slog.String("session", r.Session))
	}
	if r.Problem != "" {
		attrs = append(attrs, slog.String("problem", r.Problem))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// requestFacts are what every line about a request says, with room for what
// only some do.
func requestFacts(r *record.Record, d time.Duration) []slog.Attr {
	return append(make([]slog.Attr, 0, 16),
		slog.String("team", r.Team),
		slog.String("rule", r.Rule),
		slog.String("kind", r.Kind),
		slog.String("method", r.Method),
		slog.String("authority", r.Authority),
		slog.String("path", r.Path),
		slog.Int("status", r.Status),
		slog.Int("attempt", r.Attempts),
		slog.String("source", r.Source),
		slog.String("token", r.Fingerprint),
		slog.Float64("duration_ms", milliseconds(d)),
		slog.Int64("bytes", r.Bytes),
	)
}

// milliseconds returns d to the microsecond, a number whose unit the
// attribute's name can say in text and JSON alike.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
