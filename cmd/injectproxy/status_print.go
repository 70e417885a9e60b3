package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// print writes the report for people.
func (s *statusReport) print(w io.Writer, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nlistening on %s for %s\n", s.Version, s.Listen, ago(now, s.Started))
	if s.Page != "" {
		fmt.Fprintf(&b, "page %s (injectproxy status --open)\n", s.Page)
	}
	if s.Gate != nil {
		s.Gate.print(&b, s, now)
		_, err := io.WriteString(w, b.String())
		return err
	}
	s.Configuration.print(&b, now)
	for _, t := range s.TeamsOff {
		fmt.Fprintf(&b, "team %s is off: %s\n", t.Team, t.Why)
	}
	for _, d := range s.Distrusted {
		fmt.Fprintf(&b, "a client refused the certificate for %s %s ago: it does not trust the CA\n  hint: %s\n", d.Authority, ago(now, d.At), trustRemedy)
	}
	for _, p := range s.Problems {
		if slices.Contains([]string{"refusal", "session", "audit", "metrics"}, p.About) { // the others are told where they belong
			fmt.Fprintf(&b, "%s\n  hint: %s\n", p.Text, p.Hint)
		}
	}
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nRULE\tREQUESTS\tFAILED\tLAST\tAUDIENCE\tPREFIXES\n")
	for _, r := range s.Rules {
		r.print(t, now)
	}
	if s.Forwarded.Requests > 0 {
		fmt.Fprintf(t, "(none)\t%d\t%d\t%s\t\tforwarded as they are\n", s.Forwarded.Requests, s.Forwarded.Failures, last(now, s.Forwarded.Last))
	}
	fmt.Fprintf(t, "\nAUDIENCE\tTOKEN\tSOURCE\tEXPIRES\n")
	for _, token := range s.Tokens {
		token.print(t, now)
	}
	if len(s.Sessions) > 0 {
		fmt.Fprintf(t, "\nSESSION\tUSED\tHEALED\tSTREAMS\tTARGET\n")
	}
	for _, session := range s.Sessions {
		session.print(t, now)
	}
	if more := s.Traffic.Sessions - len(s.Sessions); more > 0 {
		fmt.Fprintf(t, "and %d more\n", more)
	}
	t.Flush() // to a Builder: it cannot fail
	printCounts(&b, "refused tokens", s.Retries)
	printCounts(&b, "sessions", s.SessionCounts)
	_, err := io.WriteString(w, b.String())
	return err
}

func printCounts(w io.Writer, of string, counts map[string]int64) {
	if len(counts) == 0 {
		return
	}
	var list []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", what, counts[what]))
	}
	fmt.Fprintf(w, "\n%s: %s\n", of, strings.Join(list, ", "))
}

func (c *statusConfig) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "configuration %s, in use for %s, %d changes\n", c.File, ago(now, c.InUse), c.Changes)
	if !c.Broken.IsZero() {
		fmt.Fprintf(w, "changed and broken for %s, so not in use: %s\n", ago(now, c.Broken), c.Why)
	}
	for _, p := range c.Problems {
		line := ""
		if p.Line > 0 {
			line = fmt.Sprintf(":%d", p.Line)
		}
		fmt.Fprintf(w, "  %s: %s%s: %s\n", p.Level, p.File, line, p.Message)
		if p.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", p.Hint)
		}
	}
	if len(c.Restart) > 0 {
		fmt.Fprintf(w, "waiting for a restart: %s\n", strings.Join(c.Restart, ", "))
	}
}

func (r *statusRule) print(w io.Writer, now time.Time) {
	name := r.Name
	if r.Team != "" {
		name = r.Team + "/" + r.Name
	}
	state := ""
	if r.Off != "" {
		state = " is off: " + r.Off
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s%s\n", name, r.Requests, r.Failures, last(now, r.Last), r.Audience, strings.Join(r.Prefixes, " "), state)
}

func (t *statusToken) print(w io.Writer, now time.Time) {
	name, token, expires := t.Audience, t.Fingerprint, "unknown"
	if t.Team != "" {
		name = t.Team + "/" + t.Audience
	}
	if !t.Expiry.IsZero() {
		expires = "in " + ago(t.Expiry, now)
	}
	if token == "" {
		token, expires = "(none)", ""
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, token, t.Source, expires)
	if t.Trouble != "" {
		fmt.Fprintf(w, "  %s\n", t.Trouble)
	}
	if t.Hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", t.Hint)
	}
}

func (s *statusSession) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", s.Session, last(now, s.Used), s.Recoveries, s.Streams, s.Target)
}

// screen reports whether w is a terminal that can be cleared.
func screen(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// ago is the time from earlier to later, to the second.
func ago(later, earlier time.Time) string {
	return max(0, later.Sub(earlier)).Round(time.Second).String()
}

// last says when something happened last.
func last(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return ago(now, at) + " ago"
}
