package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// came says what came of asking for a token, last being the one before: which
// source answered, and how.
func came(last, t token.Token, err error) (source, result string) {
	known, _ := errors.AsType[*token.Error](err)
	if known != nil {
		source = known.Source
	}
	switch {
	case errors.Is(err, token.ErrSame):
		return source, telemetry.AcquiredSame
	case known != nil:
		return source, known.Class.String()
	case err != nil:
		return "", token.Unknown.String()
	case t.Equal(last):
		return t.Source(), telemetry.AcquiredSame
	}
	return t.Source(), telemetry.AcquiredNew
}

// remark leaves on a request what was done about its session.
func remark(m *record.Remark, e session.Event) {
	switch e.Kind {
	case session.Lost, session.Healed, session.Dropped, session.Suppressed, session.TimedOut:
		m.Set(e.Kind.String())
	case session.Replayed: // by who waited for another's recovery, too
		m.Set(session.Healed.String())
	case session.Failed:
		m.Set("failed: " + e.Detail)
	}
}

// logSession logs what happened to a session. Of what happens with each message
// only who debugs hears.
func logSession(ctx context.Context, log *slog.Logger, e session.Event) {
	level, message, attrs := slog.LevelDebug, "session: "+e.Kind.String(), []slog.Attr{slog.String("session", e.Session), slog.String("target", e.Target)}
	switch e.Kind {
	case session.Lost:
		level, message, attrs = slog.LevelInfo, "the server has lost a session", append(attrs, slog.String("symptom", e.Detail))
	case session.Healed:
		level, message, attrs = slog.LevelInfo, "another session stands in its place", append(attrs, slog.Float64("took_ms", milliseconds(e.Took)))
	case session.Failed:
		level, message = slog.LevelWarn, "a lost session could not be replaced"
		attrs = append(attrs, slog.String("reason", e.Detail), slog.Float64("took_ms", milliseconds(e.Took)))
	}
	log.LogAttrs(context.WithoutCancel(ctx), level, message, attrs...)
}
