package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// openAudit opens the audit file, nil if there is to be none, its name being "". Whoever wants one
// does not want requests that are not in it, so that one that cannot be opened
// is an error.
func openAudit(file string, log *slog.Logger) (*telemetry.Audit, error) {
	if file == "" {
		return nil, nil
	}
	a, err := telemetry.OpenAudit(file, log)
	if err != nil {
		return nil, &failure{
			status: exitFailed, err: fmt.Errorf("log.audit: %w", err),
			hint: "see to the directory and its permissions, or name another file in [log]",
		}
	}
	return a, nil
}

// openTraces opens what the environment asks for. Settings that cannot be are
// no reason not to proxy.
func openTraces(log *slog.Logger) *telemetry.Traces {
	t, err := telemetry.OpenTraces(context.Background(), bareVersion(), log)
	if err != nil {
		log.Warn("there are no traces: a setting of the environment cannot be", "error", err, "hint", "correct it, or unset it")
	}
	return t
}

// What is left to tell at the end has between settleLeast and settleMost to get
// out.
const (
	settleLeast = time.Second
	settleMost  = 5 * time.Second
)

// settle has the collector and the audit file take what is left, and waits for
// neither longer than limit.
func (s *surroundings) settle(limit time.Duration) {
	var ending sync.WaitGroup
	ending.Go(func() { s.audit.Close(limit) })
	if err := s.traces.Close(limit); err != nil {
		s.log.Warn("the last traces were not sent", "error", err)
	}
	ending.Wait()
}
