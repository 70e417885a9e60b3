package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever comes first makes the CA and the credential, and all the others use
// these.
func TestFirstStartsAtOnceAgreeOnOneCAAndOneCredential(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "[access]\nmode = \"credential\"\n").write(t, home)
	var all []*daemon
	for range 4 {
		all = append(all, spawn(t, home, command(t, t.Context(), home, nil, "serve")))
	}
	for _, d := range all {
		d.listening()
	}
	credential, err := os.ReadFile(filepath.Join(home, "credential"))
	must(t, err)
	for _, d := range all {
		c := d.client("h1", url.UserPassword("injectproxy", strings.TrimSpace(string(credential))))
		call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
		d.signal(syscall.SIGTERM)
	}
	for _, d := range all {
		if d.stopped() != 0 || strings.Contains(d.log.String(), "level=ERROR") {
			t.Errorf("exit status %d:\n%s", d.status, d.log)
		}
	}
}
