package telemetry

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
	"time"
)

// LibraryLog returns a logger for libraries that want one of package log, such
// as [net/http.Server.ErrorLog] and goproxy. Each message becomes one record
// of l with the attribute library: a panic at level error, what clients cause
// by leaving or by not trusting us at debug, other complaints at warn, of which
// that no connection can be accepted comes once a minute at most. Queries and
// credentials in URLs are masked, and what is quoted of an answer is left out,
// whatever l does.
func LibraryLog(l *slog.Logger, library string) *log.Logger {
	return log.New(&libraryWriter{log: l.With("library", library)}, "", 0)
}

// acceptPause is how often the log hears that no connection can be accepted.
// net/http says so each second for as long as it lasts.
const acceptPause = time.Minute

type libraryWriter struct {
	log      *slog.Logger
	accepted time.Time // when it last heard that
}

// Write logs one message. Package log calls it once for each, and never twice
// at once.
func (w *libraryWriter) Write(p []byte) (int, error) {
	said := len(p)
	p = unquoted(p)
	level := levelOf(string(p))
	if strings.HasPrefix(string(p), "http: Accept error: ") {
		if now := time.Now(); now.Sub(w.accepted) >= acceptPause {
			w.accepted = now
		} else {
			level = slog.LevelDebug
		}
	}
	if !w.log.Enabled(context.Background(), level) {
		return said, nil
	}
	message, stack, _ := strings.Cut(strings.TrimSpace(string(mask(p))), "\n")
	var attrs []slog.Attr
	if stack != "" {
		attrs = append(attrs, slog.String("stack", stack))
	}
	w.log.LogAttrs(context.Background(), level, hideQueries(message), attrs...)
	return said, nil
}

// unquoted returns message without what it quotes of an upstream's bytes, which
// may be of a body. net/http does so of what comes behind an answer.
func unquoted(message []byte) []byte {
	if before, _, ok := bytes.Cut(message, []byte(" starting with ")); ok {
		return before
	}
	return message
}

// noise is how messages read that are no one's fault here: what goproxy says
// of its progress, and what follows from a client that left, speaks no TLS,
// or does not trust our certificate (the proxy reports that one itself).
var noise = [...]string{
	"] INFO: ",
	"TLS handshake error",
	"http2: ",
	"superfluous response.WriteHeader",
	"URL query contains semicolon",
	"Unsolicited response received on idle HTTP channel",
	"broken pipe",
	"connection reset by peer",
	"use of closed network connection",
	"context canceled",
	"i/o timeout",
	"EOF",
}

func levelOf(message string) slog.Level {
	if strings.Contains(message, "panic serving ") {
		return slog.LevelError
	}
	for _, s := range noise {
		if strings.Contains(message, s) {
			return slog.LevelDebug
		}
	}
	return slog.LevelWarn
}

// hideQueries masks the query of everything in s that may be a URL: goproxy
// also prints URLs that are only a path.
func hideQueries(s string) string {
	words := strings.Split(s, " ")
	for i, word := range words {
		if path, query, ok := strings.Cut(word, "?"); ok && query != "" {
			words[i] = path + "?" + masked
		}
	}
	return strings.Join(words, " ")
}
