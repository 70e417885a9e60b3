package admin

import (
	"io/fs"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

func TestPageIsServedUnderAStrictPolicy(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	for path, mediaType := range map[string]string{"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/requests.js": "text/javascript; charset=utf-8", "/gate.js": "text/javascript; charset=utf-8"} {
		status, h, body := askAll(t, "GET", addr, path, addr, "Authorization", "right")
		if status != 200 || h.Get("Content-Type") != mediaType || body == "" {
			t.Errorf("%s: %d %s", path, status, h.Get("Content-Type"))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"Referrer-Policy":         "no-referrer", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: %q", path, name, h.Get(name))
			}
		}
		if status, body := ask(t, "GET", addr, path, addr); status != 401 || strings.Contains(body, "<") {
			t.Errorf("%s to anybody: %d", path, status)
		}
	}
	for _, path := range []string{"/page", "/page/", "/page/page.html", "/page.html", "/index.html", "/../page.js", "/events/"} {
		if status, _ := ask(t, "GET", addr, path, addr, "Authorization", "right"); status != 404 && status != 307 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// Each of these would be a way for what a client sent to become markup, or for
// the page to ask somebody else.
var careless = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b|new Function|setHTML|srcdoc|\bstyle=|\bon[a-z]+=|https?://|@import|url\(`)

func TestPageIsSmallAndLoadsAndWritesNothingElse(t *testing.T) {
	t.Parallel()
	size, served := 0, map[string]bool{}
	for _, f := range pageFiles {
		served[f.name] = true
	}
	files, err := fs.ReadDir(page, "page")
	if err != nil || len(files) != len(served) {
		t.Fatalf("%d files, %d served: %v", len(files), len(served), err)
	}
	for _, f := range files {
		b, err := fs.ReadFile(page, "page/"+f.Name())
		if err != nil || !served[f.Name()] {
			t.Errorf("%s: %v", f.Name(), err)
		}
		size += len(b)
		source := strings.ReplaceAll(strings.ReplaceAll(string(b), "xmlns='http://www.w3.org/2000/svg'", ""), "createElementNS('http://www.w3.org/2000/svg'", "")
		if found := careless.FindAllString(source, -1); found != nil {
			t.Errorf("%s has %q", f.Name(), found)
		}
	}
	if size > 60_000 {
		t.Errorf("%d bytes", size)
	}
}
