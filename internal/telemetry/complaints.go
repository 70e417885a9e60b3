package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// complaintPause is how often the log hears that traces do not go out.
const complaintPause = time.Minute

// complaints are what the library of traces has to say, once a minute at most:
// a collector that is down would have it say so with each batch. It implements
// otel.ErrorHandler.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// Handle tells of err, which is about spans on their way.
func (c *complaints) Handle(err error) {
	c.tell("traces: some could not be sent", err, "see to the collector, and to OTEL_EXPORTER_OTLP_ENDPOINT")
}

// tell tells of err, unless it has just told of another.
func (c *complaints) tell(what string, err error, hint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && time.Since(c.last) < complaintPause {
		return
	}
	c.last = time.Now()
	c.log.Warn(what, "error", hideQueries(err.Error()), "hint", hint)
}

// unset tells of a setting that cannot be used.
func (c *complaints) unset(err error) {
	c.tell("traces: a setting of the environment was not understood", err, "correct the OTEL_ variable, or unset it")
}

// complaintLog is the library's log. Of its records the message and the error
// are told: the rest has values of settings, and a header's may be a key.
type complaintLog struct{ *complaints }

// Enabled implements [slog.Handler]. The library warns at a level of 1 below
// that of information.
func (complaintLog) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo-1 }

// Handle implements [slog.Handler].
func (c complaintLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			text += ": " + err.Error()
		}
		return true
	})
	c.unset(complaint(text))
	return nil
}

// WithAttrs implements [slog.Handler].
func (c complaintLog) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements [slog.Handler].
func (c complaintLog) WithGroup(string) slog.Handler { return c }

type complaint string

// Error implements error.
func (c complaint) Error() string { return string(c) }
