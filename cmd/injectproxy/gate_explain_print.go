package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
)

func (e *gateExplanation) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.Method, e.URL)
	lines := [][2]string{{"route", e.Route}, {"defined", place(e.File, e.Line)}}
	for _, u := range e.Upstreams {
		lines = append(lines, [2]string{"upstream", u})
	}
	lines = append(lines, [2]string{"host", e.Host}, [2]string{"mode", e.Mode})
	if e.Needs != nil {
		lines = append(lines, [2]string{"lets in", e.Needs.words("any scope or role")})
	}
	lines = append(lines, [2]string{"tool", oneLine(e.Tool)}, [2]string{"resource", oneLine(e.Resource)}, [2]string{"prompt", oneLine(e.Prompt)})
	if g := e.Grant; g != nil {
		lines = append(lines, [2]string{"pattern", g.Pattern + " (" + place(g.File, g.Line) + ")"}, [2]string{"needs", g.Needs.words("nothing")})
	}
	switch e.Default {
	case "deny":
		lines = append(lines, [2]string{"pattern", `none that lets it pass, and default = "deny": nobody may have it`})
	case "allow":
		lines = append(lines, [2]string{"pattern", `none, and default = "allow": whoever is let in may have it`})
	}
	for _, got := range e.Gets.lines() {
		lines = append(lines, [2]string{"gets", got})
	}
	lines = append(lines, [2]string{"caller", e.Caller}, [2]string{"outcome", e.outcome()}, [2]string{"says", e.Says}, [2]string{"challenge", e.Challenge}, [2]string{"note", e.Note})
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", line[0], line[1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *gateExplanation) outcome() string {
	switch e.Outcome {
	case "pass":
		return "passed on"
	case "answer":
		return fmt.Sprintf("answered by the gate itself (%d)", e.Status)
	case "refuse":
		if e.Denied == "" {
			return fmt.Sprintf("refused (%d)", e.Status)
		}
		return fmt.Sprintf("refused (%d, %s)", e.Status, e.Denied)
	}
	return ""
}

// words are what is needed, any one of it; otherwise where it is nothing.
func (n gateNeeds) words(otherwise string) string {
	all := append(permissions("scope", n.Scopes), permissions("role", n.Roles)...)
	if len(all) == 0 {
		return otherwise
	}
	return strings.Join(all, " or ")
}

func place(file string, line int) string {
	if file == "" {
		return ""
	}
	return config.Position{File: file, Line: line}.String()
}

// oneLine is name, in quotes if it could break out of its line.
func oneLine(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
