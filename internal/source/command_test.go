package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// acting returns a command that is the test binary in a role.
func acting(t *testing.T, args ...string) token.Source {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return NewCommand(append([]string{exe}, args...), append(os.Environ(), actor+"=1", quick))
}

func TestCommandYieldsWhatItPrints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		want   string
		expiry int64
	}{
		"bare":               {[]string{"print", "tok\n"}, "tok", 0},
		"bare, CRLF":         {[]string{"print", "tok\r\n"}, "tok", 0},
		"JWT":                {[]string{"print", jwt(`{"exp":4102444800}`)}, jwt(`{"exp":4102444800}`), 4102444800},
		"JSON":               {[]string{"print", `{"token":"tok","expiresOn":"2100-01-01T00:00:00Z"}`}, "tok", 4102444800},
		"no shell":           {[]string{"print", "$HOME;`id`|&*"}, "$HOME;`id`|&*", 0},
		"empty input":        {[]string{"stdin"}, "stdin-0-<nil>", 0},
		"the environment":    {[]string{"variable", actor}, "1", 0},
		"much noise besides": {[]string{"chatty", "tok"}, "tok", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := wantToken(t, acting(t, c.args...), token.Ask{}, c.want)
			if got.Source() != "token_command" {
				t.Errorf("source %q", got.Source())
			}
			if c.expiry == 0 && !got.Expiry().IsZero() || c.expiry != 0 && got.Expiry().Unix() != c.expiry {
				t.Errorf("expiry %v", got.Expiry())
			}
		})
	}
}

func TestCommandRunsAgainAtEachCall(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(actor, "1")
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	src := NewCommand([]string{exe, "variable", "SOURCE_TEST_TOKEN"}, nil)
	for _, value := range []string{"one", "two"} {
		t.Setenv("SOURCE_TEST_TOKEN", value)
		wantToken(t, src, token.Ask{}, value)
	}
}

func TestFailingCommandIsExplainedWithoutItsOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	write(t, plain, canary)
	for name, c := range map[string]struct {
		src   token.Source
		class token.Class
		says  string
	}{
		"exit status":         {acting(t, "fail", "3", "boom "+canary), token.Unknown, "exit status 3"},
		"AADSTS":              {acting(t, "fail", "1", "ERROR: AADSTS700082: "+canary+" Please run 'az login'"), token.SignIn, "AADSTS700082"},
		"az login is no sign": {acting(t, "fail", "1", "Please run 'az login' "+canary), token.Unknown, "exit status 1"},
		"shell's not found":   {acting(t, "fail", "127", canary), token.NotInstalled, "127"},
		"not found":           {NewCommand([]string{"injectproxy-no-such-program", canary}, nil), token.NotInstalled, "injectproxy-no-such-program"},
		"no such path":        {NewCommand([]string{filepath.Join(dir, "no"), canary}, nil), token.NotInstalled, "not installed"},
		"none":                {NewCommand(nil, nil), token.Misconfigured, "command is empty"},
		"nothing printed":     {acting(t, "print", ""), token.Misconfigured, "empty token"},
		"two lines":           {acting(t, "print", canary+"\n"+canary), token.Misconfigured, "0x0a"},
		"bad JSON":            {acting(t, "print", `{"token":"`+canary), token.Misconfigured, "JSON"},
		"expired":             {acting(t, "print", `{"token":"`+canary+`","expires_on":1000}`), token.Transient, "expired"},
		"flood":               {acting(t, "flood"), token.Misconfigured, "65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.src.Token(t.Context(), token.Ask{})
			if e := wantError(t, err, c.class); !strings.Contains(e.Error(), c.says) {
				t.Errorf("got %q, want it to say %q", e, c.says)
			}
		})
	}
	if runtime.GOOS != "windows" {
		_, err := NewCommand([]string{plain}, nil).Token(t.Context(), token.Ask{})
		wantError(t, err, token.Misconfigured)
	}
}

func TestCancelledCommandLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := acting(t, "wrap", w.address()).Token(ctx, token.Ask{})
		done <- err
	}()
	first, second := w.meet(), w.meet() // the wrapper and what it started
	cancel()
	e := wantError(t, <-done, token.Transient)
	if !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	w.part(first)
	w.part(second)
}

func TestCommandMayLeaveAProcessBehind(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	wantToken(t, acting(t, "leave", w.address()), token.Ask{}, "left")
	c := w.meet()
	c.Close() // which ends it
}

func TestContextThatEndsWhileOutputIsHeldOpenKillsTheRest(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		src := acting(t, "leave", w.address())
		src.(*command).linger = time.Minute
		_, err := src.Token(ctx, token.Ask{})
		done <- err
	}()
	c := w.meet()
	cancel()
	wantError(t, <-done, token.Transient)
	w.part(c)
}
