package main

import (
	"fmt"
	"time"

	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// auditProblems are what is wrong with the audit file, which may be nil.
func auditProblems(a *telemetry.Audit) []statusProblem {
	why, since, lost := a.Failing()
	if why == "" {
		return nil
	}
	p := statusProblem{"error", "audit", "the audit file cannot be written since " + since.Format(time.TimeOnly) + ": " + why,
		"make room, or mend log.audit; requests go on, and are missing in it"}
	switch {
	case lost == 1:
		p.Text += "; 1 line is lost"
	case lost > 1:
		p.Text += fmt.Sprintf("; %d lines are lost", lost)
	default: // so far
		p.Level = "warning"
	}
	return []statusProblem{p}
}

// metricsProblems say that /metrics is closed, and why.
func metricsProblems(why string) []statusProblem {
	if why == "" {
		return nil
	}
	return []statusProblem{{"warning", "metrics", "/metrics is closed, as the network reaches its port and there is no token to ask for: " + why,
		"write a long random token to the file of token_file in [admin]"}}
}
