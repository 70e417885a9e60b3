//go:build unix

package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestAzIsAskedForTheAudienceAndTheTenant(t *testing.T) {
	t.Parallel()
	get := []string{"account", "get-access-token", "--output", "json"}
	for _, c := range []struct {
		entra Entra
		args  []string
		login string
	}{
		{Entra{ClientID: api}, []string{"--scope", "api://" + api + "/.default"}, "az login --scope api://" + api + "/.default --allow-no-subscriptions"},
		{Entra{Resource: "https://vault.azure.net//", Tenant: tenant}, []string{"--resource", "https://vault.azure.net", "--tenant", tenant},
			"az login --tenant " + tenant + " --scope https://vault.azure.net/.default --allow-no-subscriptions"},
		{Entra{Scope: "https://vault.azure.net//.default", Tenant: "corp.example"}, []string{"--scope", "https://vault.azure.net//.default", "--tenant", "corp.example"},
			"az login --tenant corp.example --scope https://vault.azure.net//.default --allow-no-subscriptions"},
	} {
		s := newStage(t, []string{"az"})
		s.plays("account", part{Stdout: answer("tok")})
		a := s.az(c.entra)
		got := wantToken(t, a, token.Ask{}, "tok")
		if got.Source() != "az" || got.Expiry().Unix() != 4102444800 {
			t.Errorf("%+v: source %q, expiry %v", c.entra, got.Source(), got.Expiry())
		}
		calls := s.calls()
		if len(calls) != 1 || !slices.Equal(calls[0].Args, append(slices.Clone(get), c.args...)) {
			t.Errorf("%+v: ran %+v", c.entra, calls)
		}
		if c.login != a.Command("") {
			t.Errorf("%+v: command %q, want %q", c.entra, a.Command(""), c.login)
		}
		if calls[0].Stdin != "" || calls[0].Dir != "/" {
			t.Errorf("%+v: ran in %q with %q to read", c.entra, calls[0].Dir, calls[0].Stdin)
		}
	}
	if _, err := NewTools(ToolOptions{}).Az(Entra{}); err == nil {
		t.Error("an audience that is none was accepted")
	}
}

// The hour from 2:00 to 3:00 comes twice in this night, and az before 2.54
// prints local time alone.
func TestLocalExpiryIsRightInTheHourThatComesTwice(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("ours", 5*60*60) // which must not matter
	defer func() { time.Local = local }()
	first := time.Date(2033, 10, 30, 0, 30, 0, 0, time.UTC)
	for _, want := range []time.Time{first, first.Add(time.Hour), first.AddDate(0, 1, 0)} {
		s := newStage(t, []string{"az"}, "TZ=Europe/Zurich")
		s.plays("account", part{Local: want.Unix()})
		if got := wantToken(t, s.az(Entra{ClientID: api}), token.Ask{}, "local"); !got.Expiry().Equal(want) {
			t.Errorf("got %v, want %v", got.Expiry().UTC(), want)
		}
	}
}

func TestRefusedTokenOfAzIsTheSameUntilSomebodySignsIn(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"az"})
	a := s.az(Entra{ClientID: api, Tenant: tenant})
	s.plays("account", part{Stdout: answer("refused")})
	refused := tokenOf(t, "refused")

	_, err := a.Token(t.Context(), token.Ask{Rejected: refused})
	e := wantError(t, err, token.SignIn)
	if !errors.Is(err, token.ErrSame) || e.Hint != a.Command("") || e.Source != "az" {
		t.Errorf("got %v, which wraps %v, hint %q", e, e.Err, e.Hint)
	}
	if e.Stale() {
		t.Error("stale before anything changed")
	}

	const claims = `{"access_token":{"nbf":{"essential":true}}}`
	s.plays("version", part{Stdout: `{"azure-cli": "2.75.0"}`})
	_, err = a.Token(t.Context(), token.Ask{Rejected: refused, Claims: claims})
	if e := wantError(t, err, token.SignIn); errors.Is(err, token.ErrSame) || e.Hint != a.Command("") {
		t.Errorf("an az that takes no claims is to be run with them: %q", e.Hint)
	}

	s.plays("version", part{Stdout: `{"azure-cli": "2.76.0"}`})
	_, err = a.Token(t.Context(), token.Ask{Rejected: refused, Claims: claims})
	e = wantError(t, err, token.SignIn)
	const encoded = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ=="
	if errors.Is(err, token.ErrSame) || e.Hint != "az login --tenant "+tenant+" --scope api://"+api+"/.default --allow-no-subscriptions --claims-challenge "+encoded {
		t.Errorf("got %v, which wraps %v, hint %q", e, e.Err, e.Hint)
	}

	s.plays("account", part{Stderr: "ERROR: AADSTS65001: consent", Exit: 1})
	_, err = a.Token(t.Context(), token.Ask{Rejected: refused, Claims: claims})
	e = wantError(t, err, token.Consent)
	if !strings.HasPrefix(e.Hint, a.Command(claims)+", or have") {
		t.Errorf("hint %q", e.Hint)
	}

	s.plays("account", part{Stdout: answer("another")})
	wantToken(t, a, token.Ask{Rejected: refused}, "another")
	wantToken(t, a, token.Ask{Rejected: refused, Claims: claims}, "another")
}

func TestSignInElsewhereMakesAFailureStale(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"azureProfile.json", "msal_token_cache.json", "msal_token_cache.bin", "service_principal_entries.json"} {
		for _, own := range []bool{true, false} {
			dir := t.TempDir()
			s := newStage(t, []string{"az"}, "AZURE_CONFIG_DIR="+dir)
			if !own {
				s = newStage(t, []string{"az"})
				dir = filepath.Join(s.home, ".azure")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(dir, "azureProfile.json"), "{}")
			s.plays("account", part{Stderr: "ERROR: Please run 'az login' to setup account.\n", Exit: 1})
			_, err := s.az(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
			e := wantError(t, err, token.SignIn)
			if e.Stale() {
				t.Errorf("%s: stale at once", name)
			}
			write(t, filepath.Join(dir, "config"), "[core]")
			if e.Stale() {
				t.Errorf("%s: stale by a file that tells nothing", name)
			}
			write(t, filepath.Join(dir, name), `{"signed":"in"}`)
			if !e.Stale() {
				t.Errorf("%s: not stale", name)
			}
		}
	}
}

func TestFailingAzIsExplainedWithoutItsOutput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		part  part
		class token.Class
		says  string
	}{
		"AADSTS":            {part{Stderr: "ERROR: AADSTS70043: " + canary + "\nPlease run:\naz login", Exit: 1}, token.SignIn, "AADSTS70043"},
		"nobody":            {part{Stderr: "ERROR: Please run 'az login' to setup account.\n", Exit: 1}, token.SignIn, "nobody is signed in"},
		"az login alone":    {part{Stderr: canary + " Please run 'az login'", Exit: 1}, token.Unknown, "not known"},
		"shell":             {part{Stderr: canary, Exit: 127}, token.NotInstalled, "lacks"},
		"nothing":           {part{}, token.Unknown, "no token"},
		"bare token":        {part{Stdout: canary}, token.Unknown, "no token"},
		"no expiry":         {part{Stdout: `{"accessToken":"` + canary + `"}`}, token.Unknown, "no token"},
		"no JSON":           {part{Stdout: `{"accessToken":"` + canary}, token.Unknown, "JSON"},
		"two lines":         {part{Stdout: answer(canary + "\n" + canary)}, token.Unknown, "no token"},
		"expired":           {part{Stdout: `{"accessToken":"` + canary + `","expires_on":1000}`}, token.Transient, "expired"},
		"too long":          {part{Stdout: strings.Repeat(canary, 10_000)}, token.Unknown, "65536 bytes"},
		"much noise":        {part{Stderr: strings.Repeat(canary+"\n", 10_000), Exit: 1}, token.Unknown, "not known"},
		"status of its own": {part{Stderr: "ERROR: AADSTS53003: no", Exit: 127}, token.Policy, "AADSTS53003"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, []string{"az"})
			s.plays("account", c.part)
			_, err := s.az(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
			if e := wantError(t, err, c.class); !strings.Contains(e.Error(), c.says) || e.Source != "az" {
				t.Errorf("got %q, want it to say %q", e, c.says)
			}
		})
	}
}
