//go:build unix

package source

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

const deviceMessage = "To sign in, use a web browser to open the page https://login.example/device and enter the code ABCD1234Z to authenticate.\n"

// ear keeps what a person is told.
type ear struct {
	mu  sync.Mutex
	all []string
	c   chan string
}

func newEar() *ear { return &ear{c: make(chan string, 16)} }

func (l *ear) tell(m string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, m)
	l.c <- m
}

func TestSignInRunsAzLoginForTenantAndScope(t *testing.T) {
	t.Parallel()
	remote := "SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22" // the others than Linux have a display but for that
	display := []string{"DISPLAY=:0"}
	if runtime.GOOS == "darwin" {
		display = nil
	}
	const claims, encoded = `{"a":1}`, "eyJhIjoxfQ=="
	base := []string{"--tenant", tenant, "--scope", "api://" + api + "/.default"}
	rest := []string{"--allow-no-subscriptions", "--output", "none"}
	for name, c := range map[string]struct {
		env     []string
		claims  string
		version string
		want    []string
		says    string
	}{
		"browser":            {display, "", "", nil, "web browser"},
		"device code":        {[]string{remote}, "", "", []string{"--use-device-code"}, "https://login.example/device and enter the code ABCD1234Z"},
		"claims":             {display, claims, `{"azure-cli": "2.76.0", "extensions": {}}`, []string{"--claims-challenge", encoded}, ""},
		"claims, later":      {display, claims, `{"azure-cli": "3.0.1"}`, []string{"--claims-challenge", encoded}, ""},
		"claims, old":        {display, claims, `{"azure-cli": "2.75.9"}`, nil, ""},
		"claims, no version": {display, claims, "?", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, []string{"az"}, c.env...)
			s.plays("version", part{Stdout: c.version})
			s.plays("login", part{Stderr: canary + "\n" + deviceMessage + canary, Stdout: canary})
			l := newEar()
			if err := s.az(Entra{ClientID: api, Tenant: tenant}).SignIn(t.Context(), c.claims, l.tell); err != nil {
				t.Fatal(err)
			}
			args := slices.Concat([]string{"login"}, base)
			if slices.Contains(c.want, "--claims-challenge") {
				args = append(args, c.want...)
			}
			args = append(args, rest...)
			if !slices.Contains(c.want, "--claims-challenge") {
				args = append(args, c.want...)
			}
			calls := s.calls()
			if last := calls[len(calls)-1]; !slices.Equal(last.Args, args) || last.Stdin != "" {
				t.Errorf("ran %q\nwant %q", last.Args, args)
			}
			if asked := len(calls) == 2; asked != (c.claims != "") {
				t.Errorf("%d runs", len(calls))
			}
			all := strings.Join(l.all, "\n")
			if !strings.Contains(all, c.says) || strings.Contains(all, canary) || strings.Count(all, "ABCD1234Z") != 1 {
				t.Errorf("told %q", l.all)
			}
		})
	}
}

func TestDeviceCodeIsToldWhileAzWaits(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	s := newStage(t, []string{"az"}, "SSH_TTY=/dev/pts/0")
	s.plays("login", part{Stderr: deviceMessage, Hold: w.address()})
	l := newEar()
	done := later(func() error { return s.az(Entra{ClientID: api}).SignIn(t.Context(), "", l.tell) })
	for m := range l.c {
		if strings.Contains(m, "ABCD1234Z") {
			break
		}
	}
	release(w.meet()) // it does wait
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeviceCodeIsToldOnceHoweverItsMessageComes(t *testing.T) {
	t.Parallel()
	l := newEar()
	watch := tellCode(l.tell)
	for i := range len(deviceMessage) + 1 {
		watch([]byte(deviceMessage[:i]))
	}
	if len(l.all) != 1 || l.all[0] != "to sign in, open https://login.example/device and enter the code ABCD1234Z" {
		t.Errorf("told %q", l.all)
	}
}

func TestSignInThatDoesNotSucceedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		part  part
		class token.Class
	}{
		"declined":        {part{Stderr: deviceMessage + "ERROR: AADSTS65004: User declined to consent. " + canary, Exit: 1}, token.Declined},
		"cancelled":       {part{Stderr: "ERROR: (pii). Status: Response_Status.Status_UserCanceled, Error code: 0", Exit: 1}, token.Declined},
		"code not used":   {part{Stderr: "ERROR: AADSTS70020: expired", Exit: 1}, token.SignIn},
		"policy":          {part{Stderr: "ERROR: AADSTS53003: blocked", Exit: 1}, token.Policy},
		"anything":        {part{Stderr: canary, Exit: 1}, token.Unknown},
		"unknown command": {part{Stderr: "ERROR: unrecognized arguments: --scope", Exit: 2}, token.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, []string{"az"})
			s.plays("login", c.part)
			wantError(t, s.az(Entra{ClientID: api}).SignIn(t.Context(), "", func(string) {}), c.class)
		})
	}
	s := newStage(t, nil)
	wantError(t, s.az(Entra{ClientID: api}).SignIn(t.Context(), "", func(string) {}), token.NotInstalled)
}

func TestSignInEndsWithItsContextAndSoDoesAz(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	s := newStage(t, []string{"az"})
	s.plays("login", part{Leave: w.address(), Hold: w.address()})
	a := s.az(Entra{ClientID: api})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := later(func() error { return a.SignIn(ctx, "", func(string) {}) })
	one, two := w.meet(), w.meet()
	// Another one waits for its turn, and tokens come on meanwhile.
	second, stop := context.WithCancel(t.Context())
	waiting := later(func() error { return a.SignIn(second, "", func(string) {}) })
	s.plays("account", part{Stdout: answer("tok")})
	wantToken(t, a, token.Ask{}, "tok")
	stop()
	if e := wantError(t, <-waiting, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	cancel()
	if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) || !strings.Contains(e.Message, "sign-in") {
		t.Errorf("%v does not wrap the context's error, or does not say what was not finished", e)
	}
	w.part(one)
	w.part(two)
	for _, c := range s.calls() {
		if slices.Contains(c.Args, "logout") {
			t.Errorf("ran %q", c.Args)
		}
	}
}
