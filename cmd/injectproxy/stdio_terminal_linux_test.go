package main

import (
	"strings"
	"testing"
)

// Who starts stdio by hand is told what it waits for; a client is not.
func TestStdioTellsWhoSitsBeforeIt(t *testing.T) {
	t.Parallel()
	m := newRemote(t, tokenA)
	home := m.ruled(t, "")
	far, near := openTerminal(t)
	defer near.Close()
	cmd := command(t, t.Context(), home, nil, "stdio", m.url)
	var said eventLog
	cmd.Stdin, cmd.Stderr = near, &said
	must(t, cmd.Start())
	said.wait(t, "standard input is a terminal")
	far.Write([]byte{4}) // Ctrl-D
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, said.String())
	}
	p := startStdio(t, home, nil, m.url)
	p.begin()
	p.finish()
	if strings.Contains(p.stderr.String(), "terminal") {
		t.Errorf("a client is told: %s", p.stderr.String())
	}
}
