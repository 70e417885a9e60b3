// Package telemetry writes down what the proxy does: the log, one line per
// intercepted request, and what the libraries have to say.
//
// It refuses to write what looks like a secret. Whoever logs leaves secrets
// out; this package is the line behind that one, and masks bearer tokens,
// credentials and the queries of URLs in every line, wherever in it they are.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes lines of the given format ("text",
// also the meaning of "", or "json") and of at least the given level ("debug",
// "info", also "", "warn" or "error") to w. It calls w.Write once per line and
// never concurrently. No value that is logged can end its line early.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	switch strings.ToLower(level) {
	case "debug":
		o.Level = slog.LevelDebug
	case "info", "":
		o.Level = slog.LevelInfo
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	switch strings.ToLower(format) {
	case "text", "":
		return slog.New(slog.NewTextHandler(masker{w}, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(masker{w}, &o)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// masker masks secrets in what is written to w. It works on finished lines and
// not on attributes, because in those a secret hides in any type that prints.
type masker struct{ w io.Writer }

func (m masker) Write(line []byte) (int, error) {
	if _, err := m.w.Write(mask(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
