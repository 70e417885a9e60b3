//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestABundleThatCannotBeWrittenDoesNotKeepServeFromStarting(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	// Permissions would not stop root; a directory in its place does.
	must(t, os.MkdirAll(filepath.Join(home, "ca"), 0o700))
	must(t, os.Mkdir(filepath.Join(home, "ca", "bundle.pem"), 0o700))
	d := startDaemon(t, home, nil)
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	d.log.waitAny(t, "level=WARN msg=\"what clients that replace their store trust is not up to date\"")
}
