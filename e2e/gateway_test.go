package e2e_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"
)

// gateway is an audience whose token is in a file.
type gateway struct {
	token string
	file  string
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{token: rand.Text(), file: filepath.Join(t.TempDir(), "token")}
	writeFile(t, g.file, g.token+"\n")
	return g
}

// rules is the TOML for rules with these prefixes; more goes into each of
// them.
func (g *gateway) rules(more string, prefixes ...string) string {
	toml := fmt.Sprintf("[audience.gateway]\ntoken_file = %q\n", g.file)
	for _, p := range prefixes {
		toml += fmt.Sprintf("[[rule]]\nprefix = %q\naudience = \"gateway\"\n%s\n", p, more)
	}
	return toml
}
