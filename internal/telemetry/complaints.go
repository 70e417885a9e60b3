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

// Handle tells of err.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && time.Since(c.last) < complaintPause {
		return
	}
	c.last = time.Now()
	c.log.Warn("traces: they are not as they should be", "error", hideQueries(err.Error()), "hint", "see to the OTEL_ variables of the environment, and to the collector")
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
	c.complaints.Handle(complaint(text))
	return nil
}

// WithAttrs implements [slog.Handler].
func (c complaintLog) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements [slog.Handler].
func (c complaintLog) WithGroup(string) slog.Handler { return c }

type complaint string

// Error implements error.
func (c complaint) Error() string { return string(c) }
