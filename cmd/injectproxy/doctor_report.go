package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// The states of a finding. Only a failure is one for the exit status.
const (
	stateOK   = "ok"
	stateWarn = "warn"
	stateFail = "fail"
)

// finding is what one check found, and its form in JSON. It holds no token, no
// secret and nothing that another program printed.
type finding struct {
	Check   string `json:"check"`
	Status  string `json:"status"`  // ok, warn or fail
	Subject string `json:"subject"` // which of its kind
	Detail  string `json:"detail"`  // one line
	Remedy  string `json:"remedy,omitempty"`
}

func failures(findings []finding) (n int) {
	for _, f := range findings {
		if f.Status == stateFail {
			n++
		}
	}
	return n
}

// printFindings writes a table, with each remedy below its row: on a line that
// has nothing else behind it, for it is there to be copied.
func printFindings(w io.Writer, findings []finding, colour bool) error {
	paint := func(state string) string { return fmt.Sprintf("%-4s", state) }
	if colour {
		codes := map[string]string{stateOK: "32", stateWarn: "33", stateFail: "31"}
		paint = func(state string) string { return fmt.Sprintf("\x1b[%sm%-4s\x1b[0m", codes[state], state) }
	}
	check, subject := 0, 0
	for _, f := range findings {
		check = max(check, utf8.RuneCountInString(f.Check))
		subject = max(subject, min(utf8.RuneCountInString(f.Subject), 32)) // a long one pushes its own row alone
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s  %-*s  %-*s  %s\n", paint(f.Status), check, f.Check, subject, f.Subject, f.Detail)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "      hint: %s\n", f.Remedy)
		}
	}
	warnings := 0
	for _, f := range findings {
		if f.Status == stateWarn {
			warnings++
		}
	}
	fmt.Fprintf(&b, "\n%s: %d failed, %d to be looked at\n", several(len(findings), "check"), failures(findings), warnings)
	_, err := io.WriteString(w, b.String())
	return err
}

// colourful reports whether w is a terminal of somebody who wants colours
// (https://no-color.org).
func colourful(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
