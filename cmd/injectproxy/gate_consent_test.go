package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/exchange"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// seen is one answer about consent.
type seen struct {
	missing []string
	err     error
}

// lookAt runs consents over one API whose answers come in that order, and returns
// when each was asked for, what the page had before each and at the end, and what was
// said.
func lookAt(t *testing.T, ctx context.Context, answers ...seen) (told [][]statusProblem, asked []time.Duration, said string) {
	t.Helper()
	out := new(eventLog)
	log, err := telemetry.NewLogger(out, "info", "text")
	must(t, err)
	began := time.Now()
	var c *consents
	c = &consents{log: log, looks: []consentLook{{func(context.Context, string) ([]string, error) {
		asked, told = append(asked, time.Since(began)), append(told, c.told())
		next := answers[len(asked)-1]
		return next.missing, next.err
	}, testTenant, "/mcp", "https://entra.example/consent"}}}
	c.run(ctx)
	return append(told, c.told()), asked, out.String()
}

func TestConsentThatCannotBeSeenIsLookedAtOnceMore(t *testing.T) {
	t.Parallel()
	away := seen{err: &exchange.Refusal{Reason: exchange.Unavailable}}
	missing, less := seen{missing: []string{"api://x/a", "api://x/b"}}, seen{missing: []string{"api://x/b"}}
	for name, tt := range map[string]struct {
		answers []seen
		asked   []time.Duration
		lines   []string // of the log, each with its level
		page    []string // which scopes were missing before each question, and at the end
	}{
		"there": {[]seen{{}}, []time.Duration{0}, nil, nil},
		"missing": {
			[]seen{missing, away, less, {}}, []time.Duration{0, consentGiven, 2 * consentGiven, 3 * consentGiven},
			[]string{"WARN NOBODY HAS CONSENTED", "INFO cannot be seen at the moment", "INFO are consented to now"}, []string{"", "api://x/a api://x/b", "api://x/a api://x/b", "api://x/b", ""},
		},
		"missing, once it is seen": {
			[]seen{away, missing, {}}, []time.Duration{0, consentAgain, consentAgain + consentGiven},
			[]string{"INFO cannot be seen", "WARN NOBODY HAS CONSENTED", "INFO are consented to now"}, []string{"", "", "api://x/a api://x/b", ""},
		},
		"forbidden": {[]seen{{err: exchange.ErrMayNotLook}}, []time.Duration{0}, []string{"WARN cannot be checked"}, nil},
		"refused":   {[]seen{{err: &exchange.Refusal{Reason: exchange.Misconfigured, Code: 7000215}}}, []time.Duration{0}, []string{"WARN cannot be checked"}, nil},
		"back":      {[]seen{away, {}}, []time.Duration{0, consentAgain}, []string{"INFO cannot be seen at the moment"}, nil},
		"away":      {[]seen{away, away}, []time.Duration{0, consentAgain}, []string{"INFO cannot be seen", "INFO cannot be seen", "INFO not looked at again"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told, asked, said := lookAt(t, t.Context(), tt.answers...)
				if !slices.Equal(asked, tt.asked) {
					t.Errorf("asked at %v, want %v", asked, tt.asked)
				}
				lines := slices.Collect(strings.Lines(said))
				if len(lines) != len(tt.lines) {
					t.Fatalf("said %q", lines)
				}
				for i, want := range tt.lines {
					level, words, _ := strings.Cut(want, " ")
					if !strings.Contains(lines[i], "level="+level+" ") || !strings.Contains(lines[i], words) || !strings.Contains(lines[i], "routes=/mcp") {
						t.Errorf("%s, want %s", lines[i], want)
					}
				}
				for i, problems := range told {
					want := ""
					if tt.page != nil {
						want = tt.page[i]
					}
					if (len(problems) == 1) != (want != "") {
						t.Errorf("before question %d: %+v, want %q", i, problems, want)
					} else if len(problems) == 1 && (!strings.Contains(problems[0].Text, " to "+want+" for ") || !strings.Contains(problems[0].Hint, "https://entra.example/consent")) {
						t.Errorf("before question %d: %+v, want %q", i, problems, want)
					}
				}
			})
		})
	}
}

// A gate that ends waits for nobody who looks at consent.
func TestLookingAtConsentEndsWithTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, asked, said := lookAt(t, ctx, seen{err: &exchange.Refusal{Reason: exchange.Unavailable}})
		if took := time.Since(began); took != time.Second || len(asked) != 1 || strings.Contains(said, "not looked at again") {
			t.Errorf("after %s, %d questions: %s", took, len(asked), said)
		}
		if _, _, said := lookAt(t, ctx, seen{err: errors.Join(context.Canceled)}); said != "" { // as a question fails whose gate ends
			t.Errorf("said %s", said)
		}
	})
}
