package source

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

func azTool(t *testing.T) *tool {
	t.Helper()
	a, err := NewTools(ToolOptions{Env: []string{}, Dirs: []string{}}).Az(Entra{ClientID: api, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return a.tool
}

// samples are what az 2.45 wrote to standard error, by situation.
func samples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/az/*.stderr")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	all := make(map[string]string)
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".stderr")] = string(b)
	}
	return all
}

func TestAzsOwnWordsGetTheirClass(t *testing.T) {
	t.Parallel()
	want := map[string]token.Class{
		"not-signed-in": token.SignIn, "no-msal-cache": token.SignIn, "no-refresh-token": token.SignIn,
		"after-login-no-subscriptions": token.SignIn, "corrupt-profile": token.SignIn,

		"cert": token.Misconfigured, "ca-missing": token.Misconfigured, "bad-tenant-name": token.Misconfigured, "unknown-tenant": token.Misconfigured,
		"portal-discovery": token.Misconfigured, "unknown-resource": token.Misconfigured, "unknown-command": token.Misconfigured,
		"unrecognised-argument": token.Misconfigured, "login-sp-bad-secret": token.Misconfigured, "login-unknown-resource": token.Misconfigured,

		"cut": token.Transient, "discovery503": token.Transient, "dns": token.Transient, "http500": token.Transient, "http502-html": token.Transient,
		"login-arm503": token.Transient, "proxy-404": token.Transient, "proxy-dns": token.Transient, "proxy-refused": token.Transient,
		"proxy-unreachable": token.Transient, "reset": token.Transient,

		"login-53003": token.Policy, "login-declined": token.Declined, "login-expired": token.SignIn,

		"corrupt-cache": token.Unknown, "portal": token.Unknown, "http429": token.Unknown, "other-tenant": token.Unknown,
		"login-no-subscriptions": token.Unknown, "device-code": token.Unknown, "login-no-browser": token.Unknown,
	}
	transient := map[int]bool{90033: true, 90055: true} // az shows their HTTP status alone
	byCode := make(map[int]token.Class)
	for class, codes := range classes() {
		for _, code := range codes {
			byCode[code] = class
		}
	}
	az := azTool(t)
	for name, text := range samples(t) {
		r, code := az.diagnose([]byte(text))
		class, ok := want[name]
		if digits, isCode := strings.CutPrefix(name, "aadsts"); isCode {
			n, err := strconv.Atoi(digits)
			if err != nil {
				t.Fatal(err)
			}
			class, ok = byCode[n], true
			if code != n && !transient[n] {
				t.Errorf("%s: code %d", name, code)
			}
		}
		if !ok {
			t.Errorf("%s: what class is that?", name)
		}
		if r.class != class {
			t.Errorf("%s: class %q (%s), want %q", name, r.class, r.message, class)
		}
		if class == token.SignIn && r.hint != "{login}" {
			t.Errorf("%s: hint %q", name, r.hint)
		}
	}
}

func TestDeviceCodeIsFoundInAzsOwnWords(t *testing.T) {
	t.Parallel()
	all := samples(t)
	for name, code := range map[string]string{"device-code": "5EDCCCFA5", "login-declined": "F8E9CBB7E", "cert": ""} {
		var said string
		tellCode(func(m string) { said += m })([]byte(all[name]))
		want := ""
		if code != "" {
			want = "to sign in, open https://login.microsoftonline.com/devicelogin and enter the code " + code
		}
		if said != want {
			t.Errorf("%s: told %q, want %q", name, said, want)
		}
	}
}

func TestEveryCodeInAzsWordsGetsItsClass(t *testing.T) {
	t.Parallel()
	az := azTool(t)
	const login = "az login --tenant " + tenant + " --scope api://" + api + "/.default --allow-no-subscriptions"
	for class, codes := range classes() {
		for _, code := range codes {
			if code < 1000 {
				continue
			}
			text := fmt.Sprintf("ERROR: AADSTS%d: %s\nTrace ID: x\nInteractive authentication is needed. Please run:\naz logout\naz login --scope x\n", code, canary)
			e := wantError(t, az.exited(1, []byte(text)), class)
			if e.Code != aadsts.Name(code) || e.Source != "az" || e.Stale == nil {
				t.Errorf("AADSTS%d: %v", code, e)
			}
			if class == token.SignIn && e.Hint != login {
				t.Errorf("AADSTS%d: hint %q", code, e.Hint)
			}
			if class == token.Consent && (!strings.HasPrefix(e.Hint, login) || !strings.Contains(e.Hint, azureCLI)) {
				t.Errorf("AADSTS%d: hint %q", code, e.Hint)
			}
			if strings.Contains(e.Hint, "AZURE_CLIENT_") {
				t.Errorf("AADSTS%d: az has no variables: hint %q", code, e.Hint)
			}
		}
	}
}

func TestOtherWordsNeverOpenASignIn(t *testing.T) {
	t.Parallel()
	az := azTool(t)
	for _, text := range []string{
		"Please run 'az login' to setup account.",
		"WARNING: Please run 'az login' to setup account.",
		"ERROR: The API said: Please run 'az login' to setup account.",
		"ERROR: Please run 'az login' to setup account. Or not.",
		"ERROR: (Bad) {\n\"message\": \"\nERROR: Please run 'az login' to setup account.\n\"}",
		`ERROR: {"error":{"message":"Please run 'az login' to setup account."}}`,
		`ERROR: {"message":"User 'x' does not exist in MSAL token cache. Run ` + "`az login`" + `."}`,
		"ERROR: x\nInteractive authentication is needed. Please run:\naz login --scope y",
		"ERROR: x\nTo re-authenticate, please run:\naz login",
		"ERROR: Run the command below to authenticate interactively:\naz logout\naz login",
		"ERROR: AADSTS1: Please run 'az login' to setup account.",
		"ERROR: AADSTS99999999: look at AADSTS50076",
		`{"error_codes":[99999999]} AADSTS50076`,
		"interaction_required login_required invalid_grant mfa",
		"ERROR: not logged in, run `azd auth login` to login",
		"Run Connect-AzAccount to login.",
		"az login", "", "\x00\xff",
	} {
		if r, code := az.diagnose([]byte(text)); r.class != token.Unknown {
			t.Errorf("%q: class %q, code %d", text, r.class, code)
		}
	}
}

func TestCodesOfJSONCountFirst(t *testing.T) {
	t.Parallel()
	az := azTool(t)
	for text, want := range map[string]int{
		`ERROR: AADSTS1 said {"error_codes":[53003],"error_description":"AADSTS50076"}`: 53003,
		`{"a":1} {x} {"error_codes":[50076]}`:                                           50076,
		`{"outer":{"error_codes":[50076]}}`:                                             50076,
		`{"error_codes":[]} AADSTS65001 AADSTS50076`:                                    65001,
		`{"error_codes":[1,700082]}`:                                                    700082,
		`{"error_codes":["50076"]} AADSTS65001`:                                         65001,
		`Status_InteractionRequired AADSTS53003`:                                        53003,
		"CERTIFICATE_VERIFY_FAILED AADSTS90033":                                         90033,
		strings.Repeat("{", 100_000) + "AADSTS50076":                                    50076,
	} {
		if _, code := az.diagnose([]byte(text)); code != want {
			t.Errorf("%.80q: got %d, want %d", text, code, want)
		}
	}
}

func TestNetworksFailuresAreTransient(t *testing.T) {
	t.Parallel()
	az := azTool(t)
	for text, want := range map[string]token.Class{
		"[Errno -3] Temporary failure in name resolution":                                             token.Transient,
		"[Errno 11001] getaddrinfo failed":                                                            token.Transient,
		"[Errno 8] nodename nor servname provided, or not known":                                      token.Transient,
		"HTTPSConnectionPool(host='x', port=443): Read timed out. (read ti":                           token.Transient,
		"ConnectTimeoutError(<x>, 'Connection to x timed out. (connect tim":                           token.Transient,
		"[Errno 111] Connection refused":                                                              token.Transient,
		"[WinError 10061] No connection could be made because the target machine actively refused it": token.Transient,
		"ERROR: 429 Client Error: Too Many Requests for url: https://x":                               token.Transient,
		"ERROR: 503 Server Error: Service Unavailable for url: https://x":                             token.Transient,
		"dial tcp: lookup x on y: no such host":                                                       token.Transient,
		"SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify f":                          token.Misconfigured,
		"tls: failed to verify certificate: x509: certificate signed by unk":                          token.Misconfigured,
		"ERROR: 400 Client Error: Bad Request for url: https://x":                                     token.Unknown,
	} {
		if r, _ := az.diagnose([]byte(text)); r.class != want {
			t.Errorf("%q: class %q, want %q", text, r.class, want)
		}
	}
}

// knownWords may open a sign-in without a code.
var knownWords = regexp.MustCompile(`Status_InteractionRequired|to setup account\.|does not exist in MSAL token cache|Can't find token from MSAL cache`)

func FuzzStandardError(f *testing.F) {
	files, _ := filepath.Glob("testdata/az/*.stderr")
	for _, path := range files {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte(`{"error_codes":[1e400]}{"error_codes":{}}{{{{`))
	tools := NewTools(ToolOptions{Env: []string{}, Dirs: []string{}})
	az, err := tools.Az(Entra{ClientID: api})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := az.tool.exited(1, text)
		if e.Message == "" || e.Hint == "" || strings.Contains(e.Hint, "{") || strings.ContainsAny(e.Error(), "\n\r") {
			t.Errorf("%q: %v, hint %q", text, e, e.Hint)
		}
		if len(e.Error())+len(e.Hint) > 400 {
			t.Errorf("%q: the error may quote it: %v, hint %q", text, e, e.Hint)
		}
		if e.Class == token.SignIn && e.Code == "" && !knownWords.Match(text) {
			t.Errorf("%q opens a sign-in", text)
		}
		tellCode(func(m string) {
			if len(m) > 300 || strings.ContainsAny(m, "\n\r\x1b") || !strings.HasPrefix(m, "to sign in, open https://") {
				t.Errorf("%q is told", m)
			}
		})(text)
		azdSignedOut(string(text))
	})
}
