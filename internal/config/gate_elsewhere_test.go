package config

import (
	"path/filepath"
	"testing"
)

// Where the gate does not run its files are not: gate.toml is all that is read there,
// and what is wrong with that is found.
func TestFilesOfAGateThatRunsElsewhereAreNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "gate.toml")
	text := "upstream_ca = [\"ca.pem\"]\n" + reachable + "[route.on_behalf_of]\n" + graphScope + "certificate = \"obo.pem\"\n" +
		"[tls]\ncert = \"tls.crt\"\nkey = \"tls.key\"\n[redis]\nurl = \"rediss://a\"\npassword_file = \"password\"\n"
	writeFile(t, file, text)
	if g, problems := LoadGate(file); g != nil || len(problems) != 4 {
		t.Errorf("where it runs: %v", problems)
	}
	g, problems := LoadGateAlone(file)
	wantProblems(t, problems)
	if g == nil || len(g.Upstream.CA) != 1 || g.TLS.Key != filepath.Join(dir, "tls.key") || g.Routes[0].OnBehalfOf.Certificate != filepath.Join(dir, "obo.pem") || g.Redis.PasswordFile == "" {
		t.Errorf("%+v", g)
	}
	for _, name := range []string{"ca.pem", "obo.pem", "tls.crt", "tls.key", "password"} {
		writeFile(t, filepath.Join(dir, name), canary+"\n"+canary) // of another gate
	}
	_, problems = LoadGateAlone(file)
	wantProblems(t, problems)
	writeFile(t, file, text+"lisen = 1\n[tsl]\n")
	if g, problems = LoadGateAlone(file); g != nil || len(problems) != 2 {
		t.Errorf("%v", problems)
	}
}
