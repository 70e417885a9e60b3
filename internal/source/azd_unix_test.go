//go:build unix

package source

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestAzdGivesAnotherTokenByClaims(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"azd"})
	src, err := s.tools().Azd(Entra{Resource: "https://vault.azure.net/", Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	s.plays("auth", part{Stdout: `{"token":"tok","expiresOn":"2100-01-01T00:00:00Z"}` + "\n"})
	base := []string{"auth", "token", "--output", "json", "--no-prompt", "--scope", "https://vault.azure.net/.default", "--tenant-id", tenant}
	for _, c := range []struct {
		ask  token.Ask
		want []string
	}{
		{token.Ask{}, nil},
		{token.Ask{Rejected: tokenOf(t, "refused")}, []string{"--claims", "e30="}},
		{token.Ask{Rejected: tokenOf(t, "refused"), Claims: `{"a":1}`}, []string{"--claims", "eyJhIjoxfQ=="}},
		{token.Ask{}, nil}, // what came before is not remembered
	} {
		got := wantToken(t, src, c.ask, "tok")
		calls := s.calls()
		if last := calls[len(calls)-1]; !slices.Equal(last.Args, slices.Concat(base, c.want)) {
			t.Errorf("ran %q", last.Args)
		}
		if got.Source() != "azd" || got.Expiry().Unix() != 4102444800 {
			t.Errorf("source %q, expiry %v", got.Source(), got.Expiry())
		}
	}
	_, err = src.Token(t.Context(), token.Ask{Rejected: tokenOf(t, "tok")})
	if wantError(t, err, token.SignIn); !errors.Is(err, token.ErrSame) {
		t.Errorf("got %v", err)
	}
}

func TestFailingAzdIsExplained(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"azd"})
	src, err := s.tools().Azd(Entra{ClientID: api, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	const login = "azd auth login --tenant-id " + tenant + " --scope api://" + api + "/.default"
	refused := token.Ask{Rejected: tokenOf(t, "refused")}
	for name, c := range map[string]struct {
		stderr string
		ask    token.Ask
		class  token.Class
		hint   string
		same   bool
	}{
		"nobody, new":  {`{"error":"not logged in, run ` + "`azd auth login`" + ` to login","message":"x","suggestion":"y"}` + "\n", token.Ask{}, token.SignIn, login, false},
		"nobody, old":  {`{"type":"consoleMessage","data":{"message":"\nERROR: fetching token: not logged in, run ` + "`azd auth login`" + ` to login\n"}}` + "\n", token.Ask{}, token.SignIn, login, false},
		"nobody, text": {"ERROR: not logged in, run `azd auth login` to login\n", token.Ask{}, token.SignIn, login, false},
		"again":        {`{"error":"fetching token: reauthentication required, run ` + "`azd auth login --scope x`" + ` to acquire a new token."}`, token.Ask{}, token.SignIn, login, false},
		"code":         {`{"error":"fetching token: AADSTS50076: ` + canary + `"}`, token.Ask{}, token.SignIn, login, false},
		"quotation":    {`{"error":"fetching token: ` + canary + ` says: not logged in, run ` + "`azd auth login`" + ` to login"}`, token.Ask{}, token.Unknown, "", false},
		"old, forced":  {"Error: unknown flag: --claims\n", refused, token.Misconfigured, azdOutdated.hint, true},
		"old, claims":  {"Error: unknown flag: --claims\n", token.Ask{Rejected: refused.Rejected, Claims: "{}"}, token.Misconfigured, azdOutdated.hint, false},
	} {
		s.plays("auth", part{Stderr: c.stderr, Exit: 1})
		_, err := src.Token(t.Context(), c.ask)
		e := wantError(t, err, c.class)
		if e.Source != "azd" || c.hint != "" && e.Hint != c.hint || errors.Is(err, token.ErrSame) != c.same {
			t.Errorf("%s: got %v (wraps %v), hint %q", name, e, e.Err, e.Hint)
		}
	}
	s.plays("auth", part{Stderr: "ERROR: not logged in, run `azd auth login` to login\n", Exit: 1})
	_, err = src.Token(t.Context(), token.Ask{})
	e := wantError(t, err, token.SignIn)
	if e.Stale() {
		t.Error("stale at once")
	}
	makeDir(t, filepath.Join(s.home, ".azd"))
	write(t, filepath.Join(s.home, ".azd", "config.json"), "{}")
	if !e.Stale() {
		t.Error("not stale by azd auth login")
	}
}

func TestPowerShellIsAskedForTheResource(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"pwsh"})
	tools := s.tools()
	src, err := tools.PowerShell(Entra{Scope: "https://vault.azure.net//.default", Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	s.plays("-NoLogo", part{Stdout: `{"expires_on":4102444800,"token":"tok"}`})
	if got := wantToken(t, src, token.Ask{}, "tok"); got.Source() != "powershell" || got.Expiry().Unix() != 4102444800 {
		t.Errorf("source %q, expiry %v", got.Source(), got.Expiry())
	}
	args := s.calls()[0].Args
	want := []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-OutputFormat", "Text", "-EncodedCommand"}
	if !slices.Equal(args[:len(args)-1], want) {
		t.Errorf("ran %q", args)
	}
	script := decodeScript(t, args[len(args)-1])
	for _, part := range []string{"ResourceUrl = 'https://vault.azure.net/'", "TenantId = '" + tenant + "'", "if ('" + tenant + "')"} {
		if !strings.Contains(script, part) {
			t.Errorf("no %q in %s", part, script)
		}
	}
	if strings.Contains(script, "%!") {
		t.Errorf("the script has a hole: %s", script)
	}
	if _, err := tools.PowerShell(Entra{Scope: "api://x/read"}); err == nil {
		t.Error("a scope that no resource has was accepted")
	}

	refused := tokenOf(t, "tok")
	_, err = src.Token(t.Context(), token.Ask{Rejected: refused})
	if e := wantError(t, err, token.SignIn); !errors.Is(e, token.ErrSame) || e.Hint != "Connect-AzAccount -Tenant "+tenant {
		t.Errorf("got %v, hint %q", e, e.Hint)
	}
	_, err = src.Token(t.Context(), token.Ask{Rejected: refused, Claims: `{"a":1}`})
	if e := wantError(t, err, token.SignIn); errors.Is(e, token.ErrSame) || e.Hint != "Connect-AzAccount -Tenant "+tenant+" -ClaimsChallenge eyJhIjoxfQ==" {
		t.Errorf("got %v, hint %q", e, e.Hint)
	}
}

func TestFailingPowerShellIsExplained(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"pwsh"})
	src, err := s.tools().PowerShell(Entra{ClientID: api})
	if err != nil {
		t.Fatal(err)
	}
	for stderr, c := range map[string]struct {
		exit  int
		class token.Class
		hint  string
	}{
		"Run Connect-AzAccount to login.\n": {1, token.SignIn, "Connect-AzAccount"},
		"Your Azure credentials have not been set up or have expired, please run Connect-AzAccount\n": {1, token.SignIn, "Connect-AzAccount"},
		"SharedTokenCacheCredential failed: AADSTS65001: " + canary:                                   {1, token.Consent, azurePowerShell},
		canary + ": Run Connect-AzAccount to login.":                                                  {1, token.Unknown, ""},
		"": {127, token.NotInstalled, "install"},
	} {
		s.plays("-NoLogo", part{Stderr: stderr, Exit: c.exit})
		_, err := src.Token(t.Context(), token.Ask{})
		if e := wantError(t, err, c.class); e.Source != "powershell" || !strings.Contains(e.Hint, c.hint) || strings.Contains(e.Hint, azureCLI) {
			t.Errorf("%q: got %v, hint %q", stderr, e, e.Hint)
		}
	}
}

func decodeScript(t *testing.T, encoded string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var u []uint16
	for ; len(b) > 1; b = b[2:] {
		u = append(u, binary.LittleEndian.Uint16(b))
	}
	return string(utf16.Decode(u))
}
