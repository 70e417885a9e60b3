package main

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// viewed starts the program and returns what it writes, to a terminal or a
// pipe, as it comes; ended waits for the end of both.
func viewed(t *testing.T, onTerminal bool, cmd *exec.Cmd) (screen *eventLog, ended func()) {
	t.Helper()
	screen = new(eventLog)
	var reading sync.WaitGroup
	if onTerminal {
		far, near := openTerminal(t)
		cmd.Stdout, cmd.Stderr = near, near
		defer near.Close()
		reading.Go(func() { io.Copy(screen, far) })
	} else {
		cmd.Stdout, cmd.Stderr = screen, screen
	}
	must(t, cmd.Start())
	return screen, sync.OnceFunc(func() {
		cmd.Wait()
		reading.Wait()
	})
}

// shows returns once the screen has had text.
func (l *eventLog) shows(t *testing.T, text string) {
	t.Helper()
	l.until(t, func(all string) bool { return strings.Contains(all, text) }, "the text", []string{text})
}

const waits = "audience a: waiting for a token ("

// The quiet ones wait from before the loud one does. So once that one tells what
// it waits for, they could have.
func TestWhoWaitsForATokenIsToldOnATerminalAlone(t *testing.T) {
	t.Parallel()
	home, az := loginHome(t, startTenants(t))
	release := make(chan struct{})
	az.plays(func(r *azRun) {
		if !r.is("account", "get-access-token") || r.held(release) {
			az.usual(r)
		}
	})
	login := func(onTerminal bool, env ...string) (*eventLog, func()) {
		t.Helper()
		before := len(az.all("account", "get-access-token"))
		cmd := command(t, t.Context(), home, append(toolEnv(home), env...), "login")
		screen, ended := viewed(t, onTerminal, cmd)
		az.wait(before+1, "account", "get-access-token")
		return screen, ended
	}
	pipe, pipeEnded := login(false, "TERM=xterm")
	dumb, dumbEnded := login(true, "TERM=dumb")
	loud, loudEnded := login(true, "TERM=xterm", "NO_COLOR=1")
	loud.shows(t, waits)
	close(release)
	for _, ended := range []func(){pipeEnded, dumbEnded, loudEnded} {
		ended()
	}
	for name, quiet := range map[string]*eventLog{"pipe": pipe, "dumb terminal": dumb} {
		if out := quiet.String(); strings.Contains(out, "waiting") || strings.Contains(out, "\x1b") || !strings.Contains(out, "audience b: has a token") {
			t.Errorf("%s: %q", name, out)
		}
	}
	wantErased(t, loud.String(), "audience a: has a token")
	az.wantNoToken(t, loud.String())
}

// wantErased holds that the line on a screen is gone before text is there, and
// that it had no colour.
func wantErased(t *testing.T, screen, text string) {
	t.Helper()
	if !regexp.MustCompile(`\(\d+ s\)\r\x1b\[K`+regexp.QuoteMeta(text)).MatchString(screen) || regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(screen) {
		t.Errorf("the screen: %q", screen)
	}
}

func TestServeTellsItsTerminalWhatRequestsWaitFor(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h1", nil, "api.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "")
	s.entra, s.files = a, nil
	s.tables = azAudience + rule("https://api.example.test/v1/", `name = "api"`)
	s.write(t, home)
	az := azAt(t, home, a)
	release := make(chan struct{})
	az.plays(func(r *azRun) {
		if !r.is("account", "get-access-token") || r.held(release) {
			az.usual(r)
		}
	})
	var asking sync.WaitGroup
	serve := func(args ...string) *eventLog {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		screen, ended := viewed(t, true, command(t, ctx, home, append(toolEnv(home), "TERM=xterm"), append([]string{"serve"}, args...)...))
		t.Cleanup(func() { cancel(); ended() })
		screen.shows(t, "rules")
		addr := regexp.MustCompile(`address"?[=:]"?([0-9.:]+)`).FindStringSubmatch(screen.String())[1]
		d := &daemon{t: t, home: home, addr: addr}
		c := d.client("h1", nil)
		before := len(az.all("account", "get-access-token"))
		asking.Go(func() {
			if res, err := c.Get("https://api.example.test/v1/x"); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", res, err)
			}
		})
		az.wait(before+1, "account", "get-access-token")
		return screen
	}
	asJSON := serve("--log-format", "json")
	loud := serve()
	loud.shows(t, waits)
	close(release)
	asking.Wait()
	loud.shows(t, "s)\r\x1b[K")
	loud.shows(t, "status=200")
	asJSON.shows(t, `"status":200`)
	if out := asJSON.String(); strings.Contains(out, "waiting") || strings.Contains(out, "\x1b") {
		t.Errorf("the log in JSON: %q", out)
	}
	if strings.HasSuffix(loud.String(), "s)") {
		t.Errorf("the line stays: %q", loud)
	}
}

func TestLoginTellsThatItWaitsForThePerson(t *testing.T) {
	t.Parallel()
	home, az := loginHome(t, startTenants(t))
	release := make(chan struct{})
	shown := azSaid(t, "device-code")
	az.plays(func(r *azRun) {
		if r.is("login") {
			r.says(shown)
			r.held(release)
		}
		az.usual(r)
	})
	screen, ended := viewed(t, true, command(t, t.Context(), home, append(toolEnv(home), "TERM=xterm"), "login", "a"))
	screen.shows(t, "audience a: waiting for the sign-in (1 s)")
	close(release)
	ended()
	if out := screen.String(); !strings.Contains(out, "enter the code 5EDCCCFA5") {
		t.Errorf("the code is not shown: %q", out)
	}
	wantErased(t, screen.String(), "audience a: signed in as ada@example.test")
}
