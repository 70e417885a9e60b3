//go:build unix

package main

import (
	"bufio"
	"errors"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
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
	send(t, mine, newGet(t, page)).wantStatus(t, 200)
	r := send(t, mine, newGet(t, "http://"+address+"/"))
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

// displayed is a screen, and an xdg-open that says what it was asked to open.
type displayed struct {
	env  []string
	told *bufio.Reader
}

// newScreen returns a screen whose xdg-open tells of what it opens, and then
// does the rest of the script.
func newScreen(t *testing.T, rest string) *displayed {
	t.Helper()
	if runtime.GOOS == "darwin" {
		t.Skip("there is always a screen")
	}
	bin := t.TempDir()
	pipe := filepath.Join(bin, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // which waits for nobody
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, f.SetReadDeadline(time.Now().Add(guard)))
	writeTestFile(t, filepath.Join(bin, "xdg-open"), "#!/bin/sh\nfile=${1#file://}\n"+
		"{ echo \"$1\"; if [ -e \"$file\" ]; then cat \"$file\"; ls -ld \"$file\" \"${file%/*}\"; fi; echo end; } > "+pipe+"\necho noise\n"+rest+"\n")
	must(t, os.Chmod(filepath.Join(bin, "xdg-open"), 0o755))
	return &displayed{[]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "DISPLAY=:99", "TMPDIR=" + t.TempDir()}, bufio.NewReader(f)}
}

// opened waits until something is opened, and returns its URL and, of a file,
// what is in it and how it is kept.
func (s *displayed) opened(t *testing.T) (url, file string) {
	t.Helper()
	var lines []string
	for {
		line, err := s.told.ReadString('\n')
		must(t, err)
		if line == "end\n" {
			return strings.TrimSpace(lines[0]), strings.Join(lines[1:], "")
		}
		lines = append(lines, line)
	}
}

// end is how a command has ended.
type end struct {
	out    string
	status int
}

// opens runs status --open with screen s.
func (d *daemon) opens(s *displayed) <-chan end {
	ended := make(chan end, 1)
	go func() {
		out, status := runToEnd(d.t, d.home, s.env, "status", "--open")
		ended <- end{out, status}
	}()
	return ended
}

// Everybody on the machine can read the command line of a browser.
func TestOpenGivesTheBrowserItsTicketInAFile(t *testing.T) {
	t.Parallel()
	s := newScreen(t, "")
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	ended := d.opens(s)
	url, file := s.opened(t)
	if !strings.HasPrefix(url, "file:///") || strings.Contains(url, "ticket") || !strings.Contains(file, "-rw------- ") || !strings.Contains(file, "drwx------ ") {
		t.Errorf("%s\n%s", url, file)
	}
	led := regexp.MustCompile(`http-equiv="refresh" content="0; url=(http://[^"]+)"`).FindStringSubmatch(file)
	if led == nil {
		t.Fatalf("the file leads nowhere:\n%s", file)
	}
	send(t, browserOf(t), newGet(t, entrance(t, led[1]+"\n"))).wantStatus(t, 200)
	e := <-ended
	if e.status != 0 || strings.Contains(e.out, "ticket") || !strings.Contains(e.out, "http://"+address+"/ is opened") {
		t.Errorf("exit status %d: %s", e.status, e.out)
	}
	if _, err := os.Stat(filepath.Dir(strings.TrimPrefix(url, "file://"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// A browser that the system knows to be ours needs no ticket.
func TestOpenOpensThePageItselfWhereABrowserIsKnown(t *testing.T) {
	t.Parallel()
	s := newScreen(t, "")
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"open\"\n")
	ended := d.opens(s)
	if url, _ := s.opened(t); url != "http://"+address+"/" {
		t.Errorf("opened %s", url)
	}
	if e := <-ended; e.status != 0 || strings.Contains(e.out, "ticket") || !strings.Contains(e.out, "http://"+address+"/ is opened") {
		t.Errorf("exit status %d: %s", e.status, e.out)
	}
}

func TestOpenPrintsTheURLWhereNoBrowserCame(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	enters := func(t *testing.T, e end) {
		t.Helper()
		if e.status != 0 {
			t.Errorf("exit status %d: %s", e.status, e.out)
		}
		send(t, browserOf(t), newGet(t, entrance(t, e.out))).wantStatus(t, 200)
	}
	t.Run("that does not start", func(t *testing.T) {
		enters(t, <-d.opens(newScreen(t, "exit 3")))
	})
	t.Run("that shows no page", func(t *testing.T) {
		s := newScreen(t, "")
		ended := d.opens(s)
		s.opened(t)
		credential, err := os.ReadFile(filepath.Join(d.home, "credential"))
		must(t, err)
		for range 16 { // others take the place of its ticket, as half a minute would
			r := newGet(t, "http://"+address+"/open")
			r.SetBasicAuth("injectproxy", strings.TrimSpace(string(credential)))
			send(t, browserOf(t), r).wantStatus(t, 200)
		}
		e := <-ended
		if !strings.Contains(e.out, "no browser has come") {
			t.Error(e.out)
		}
		enters(t, e)
	})
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
