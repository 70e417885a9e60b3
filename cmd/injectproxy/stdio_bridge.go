package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/stdio"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// bridge is a client's way to its server.
type bridge struct {
	*stdio.Bridge
	in    *instance
	log   *slog.Logger
	quiet *hush // of log
}

// startBridge makes the routes to the server and what stands over them. Nothing
// is sent yet, and nobody asked for a token.
func startBridge(s *stdioSetting, stderr io.Writer) (*bridge, error) {
	loud, err := telemetry.NewLogger(stderr, s.cfg.Log.Level, s.cfg.Log.Format)
	if err != nil {
		return nil, err
	}
	quiet := new(hush)
	log := slog.New(hushed{loud.Handler(), quiet})
	libraries(log)
	warnOfWeakening(log, os.Getenv("GODEBUG"))
	for _, note := range s.notes {
		log.Warn(note)
	}
	audit, err := openAudit(s.cfg.Log.Audit, log)
	if err != nil {
		return nil, err
	}
	b := &bridge{log: log, quiet: quiet}
	around := surroundings{log: log, audit: audit, traces: openTraces(log), notify: b.notice(notifier(os.Stderr))}
	if home, err := config.Home(); err == nil { // without one, sign-ins are forgotten at the end
		around.sessions, around.bundle = sessionsDir(home), bundleOf(home)
	}
	var route inward
	if b.in, _, err = prepare(s.cfg, around); err == nil {
		if err = b.in.takeOver(s.cfg); err == nil {
			route, err = b.in.toServer(s)
		}
		if err != nil {
			b.in.close()
		}
	}
	if err != nil {
		around.settle(settleMost)
		return nil, err
	}
	b.Bridge = stdio.New(stdio.Options{
		URL: s.url, Route: route, Transport: s.transport, Header: s.header,
		ToolTimeout: s.timeout, Tools: s.tools, Explain: explainTo(s.authority), Log: log,
	})
	return b, nil
}

// notice has notifications shown by the client, too: who sits before it may see
// neither a terminal nor the desktop that we are on.
func (b *bridge) notice(show func(title, message string)) func(title, message string) {
	return func(title, message string) {
		b.Notify(title, message)
		if show != nil {
			show(title, message)
		}
	}
}
