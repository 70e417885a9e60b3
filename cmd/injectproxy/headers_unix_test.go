//go:build unix

package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe would keep a request, and the end of serve, waiting for its writer.
func TestHeaderIsReadFromASmallRegularFileOnly(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.key")
	must(t, syscall.Mkfifo(pipe, 0o600))
	b := newTestbed(t, settings{
		files: map[string]string{"a.token": tokenA, "b.token": tokenB, "large.key": strings.Repeat("k", maxHeaderValue+1)},
		tables: fileAudiences + rule(o.url("/pipe"), `headers = { "X-Key" = { file = "`+pipe+`" } }`) +
			rule(o.url("/large"), `headers = { "X-Key" = { file = "large.key" } }`),
	})
	for path, want := range map[string]string{"/pipe": "is not a regular file", "/large": "is larger than 64 KiB"} {
		p := call(t, b.client("h2"), "GET", o.url(path), nil).problem(t, http.StatusBadGateway)
		if !strings.HasPrefix(p.Detail, "header X-Key: ") || !strings.Contains(p.Detail, want) || strings.Contains(p.Detail, "kkk") {
			t.Errorf("%s: %.200q", path, p.Detail)
		}
		o.nothing(t)
	}
}
