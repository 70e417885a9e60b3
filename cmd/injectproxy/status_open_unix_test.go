//go:build unix

package main

import (
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// browserOf returns a client that keeps cookies as a browser does, and shows no
// credential.
func browserOf(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar, Timeout: guard, Transport: &http.Transport{DisableKeepAlives: true}}
}

// entrance returns the URL to enter by that a command has printed.
func entrance(t *testing.T, output string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "http://") && strings.Contains(line, "/enter?ticket=") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("no URL: %s", output)
	return ""
}

func TestOpenPrintsAURLThatLetsABrowserInOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	out, status := runToEnd(t, d.home, nil, "status", "--open")
	page := entrance(t, out)
	if status != 0 || !strings.HasPrefix(page, "http://"+address+"/") || !strings.Contains(out, "30 s") {
		t.Errorf("exit status %d: %s", status, out)
	}
	stranger, mine := browserOf(t), browserOf(t)
	send(t, stranger, newGet(t, "http://"+address+"/")).wantStatus(t, 401)
	r := send(t, mine, newGet(t, page))
	r.wantStatus(t, 200)
	if !strings.Contains(r.body, "<title>injectproxy</title>") {
		t.Errorf("not the page: %.200s", r.body)
	}
	for _, path := range []string{"/", "/page.js", "/status.json"} {
		send(t, mine, newGet(t, "http://"+address+path)).wantStatus(t, 200)
		send(t, stranger, newGet(t, "http://"+address+path)).wantStatus(t, 401)
	}
	send(t, stranger, newGet(t, page)).wantStatus(t, 403)
	if ticket := page[strings.Index(page, "=")+1:]; strings.Contains(d.log.String(), ticket) {
		t.Error("the ticket is in the log")
	}
	if line := d.log.wait(t, "msg=status"); !strings.Contains(line, "page=http://"+address+"/") {
		t.Errorf("the log does not say where the page is: %s", line)
	}
}

func TestOpenOpensABrowserWhereThereIsAScreen(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "darwin" {
		t.Skip("there is always a screen")
	}
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	bin, opened := t.TempDir(), filepath.Join(t.TempDir(), "opened")
	writeTestFile(t, filepath.Join(bin, "xdg-open"), "#!/bin/sh\nprintf '%s' \"$1\" > "+opened+"\necho noise\n")
	must(t, os.Chmod(filepath.Join(bin, "xdg-open"), 0o755))
	env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "DISPLAY=:99"}
	out, status := runToEnd(t, d.home, env, "status", "--open")
	if status != 0 || strings.Contains(out, "ticket") || !strings.Contains(out, "http://"+address+"/ is opened") {
		t.Errorf("exit status %d: %s", status, out)
	}
	b, err := os.ReadFile(opened)
	must(t, err)
	send(t, browserOf(t), newGet(t, entrance(t, string(b)+"\n"))).wantStatus(t, 200)

	writeTestFile(t, filepath.Join(bin, "xdg-open"), "#!/bin/sh\nexit 3\n")
	must(t, os.Chmod(filepath.Join(bin, "xdg-open"), 0o755))
	if out, status = runToEnd(t, d.home, env, "status", "--open"); status != 0 || entrance(t, out) == "" {
		t.Errorf("a browser that does not start: %d %s", status, out)
	}
}

func TestOpenTellsWhatGoesWrong(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{top: `admin = { listen = "127.0.0.1:` + freePort(t) + `" }`}.write(t, home)
	if out, status := runToEnd(t, home, nil, "status", "--open"); status != 1 || !strings.Contains(out, "injectproxy serve") {
		t.Errorf("not running: %d %s", status, out)
	}
	for _, other := range []string{"--json", "--watch"} {
		if out, status := runToEnd(t, home, nil, "status", "--open", other); status != 2 || strings.Contains(out, "http://") {
			t.Errorf("with %s: %d %s", other, status, out)
		}
	}
}
