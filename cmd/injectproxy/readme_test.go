package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// demoPort stands for the ports that differ from run to run.
var demoPort = regexp.MustCompile(`\.test:\d+`)

// The README shows what the demonstration prints, and the two commands that
// are all a new user needs.
func TestREADMEShowsTheDemonstration(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go run ./cmd/injectproxy demo", "go test ./..."} {
		if !strings.Contains(string(readme), "```sh\n"+command+"\n```") {
			t.Errorf("README.md does not print the command %q", command)
		}
	}
	w, err := newDemoWorld(demoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var out bytes.Buffer
	if err := w.demonstrate(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	want := demoPort.ReplaceAllString(out.String(), ".test:PORT")
	if !strings.Contains(demoPort.ReplaceAllString(string(readme), ".test:PORT"), "```\n"+want+"```") {
		t.Errorf("README.md does not show what demo prints:\n%s", out.String())
	}
}
