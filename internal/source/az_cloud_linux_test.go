package source

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

// apiURI is an API with an App ID URI of its own.
const apiURI = "https://models.example"

var ada = entratest.User{ObjectID: "77777777-7777-4777-8777-777777777777", Username: "ada@corp.example", Name: "Ada"}

// azCloud is the public cloud as the real az sees it: a simulated authority
// behind a proxy that leads nowhere else.
type azCloud struct {
	*entratest.Authority
	path string // of az
	ca   string // file
}

// newAzCloud starts one in which tenants have a subscription each.
func newAzCloud(t *testing.T, subscribed ...string) *azCloud {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("the real az takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
	path, err := exec.LookPath("az")
	if err != nil {
		t.Fatal("az is not installed")
	}
	a, err := entratest.Start(entratest.Options{
		Public:  true,
		Tenants: []string{tenant, tenant2}, Subscribed: subscribed,
		Clients: []entratest.Client{{ID: azureCLI, Public: true}, {ID: client, Secrets: []string{canary}}},
		Resources: []entratest.Resource{
			entratest.ARM(), {ID: api, Version: 2, Scopes: []string{"access_as_user"}},
			{ID: "797f4846-d300-468d-8c1d-000000000000", URIs: []string{apiURI}, Scopes: []string{"access_as_user"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(a.CAPEM()))
	return &azCloud{Authority: a, path: path, ca: ca}
}

// azUser is a user of this machine: what az keeps of them, and their
// environment.
type azUser struct {
	*azCloud
	t   *testing.T
	dir string
	env []string
}

// user returns one who has never used az. Set replaces variables of theirs.
func (c *azCloud) user(t *testing.T, set ...string) *azUser {
	t.Helper()
	home := t.TempDir()
	u := &azUser{azCloud: c, t: t, dir: filepath.Join(home, "azure config")}
	u.env = append([]string{
		"PATH=" + filepath.Dir(c.path) + ":/usr/bin:/bin", "HOME=" + home, "AZURE_CONFIG_DIR=" + u.dir,
		"HTTPS_PROXY=" + c.ProxyURL(), "REQUESTS_CA_BUNDLE=" + c.ca,
		// Hours away from UTC, and another number of them every six months.
		"TZ=AAA-9:30BBB-10:30,M4.1.0,M10.1.0",
		// What az must not see.
		"AZURE_CLIENT_SECRET=" + canary, "MCP_TOKEN=" + canary, "AZURE_CORE_SECRET=" + canary,
	}, set...)
	t.Cleanup(func() {
		if left := u.processes(); len(left) > 0 {
			t.Errorf("az has left processes behind: %v", left)
		}
	})
	return u
}

// az returns a source of what az has for e, by tools that nobody shares.
func (u *azUser) az(e Entra) *Az {
	u.t.Helper()
	a, err := NewTools(ToolOptions{Env: ToolEnvironment(u.env), Dirs: []string{}}).Az(e)
	if err != nil {
		u.t.Fatal(err)
	}
	return a
}

// shown finds the code in what a person is told.
var shown = regexp.MustCompile(`https://login\.microsoftonline\.com/devicelogin\b.*\bcode ([0-9A-Z]+)$`)

// signIn has a person do what decide says with the code shown to them. az's
// first question whether they have done so is answered when they have: its
// next one would come five seconds later.
func (u *azUser) signIn(a *Az, claims string, decide func(code string) error) error {
	u.t.Helper()
	answer := u.FailNext(1, entratest.Failure{Endpoint: entratest.TokenEndpoint, Hang: true})
	defer answer()
	return a.SignIn(guard(u.t), claims, func(message string) {
		m := shown.FindStringSubmatch(message)
		if m == nil {
			u.t.Errorf("told %q", message)
			return
		}
		if err := decide(m[1]); err != nil {
			u.t.Error(err)
		}
		answer()
	})
}

func (u *azUser) asAda(code string) error { return u.SignIn(code, ada) }

// run runs az as the user would in a terminal.
func (u *azUser) run(args ...string) {
	u.t.Helper()
	cmd := exec.CommandContext(guard(u.t), u.path, args...)
	cmd.Env = append(u.env, "AZURE_CORE_COLLECT_TELEMETRY=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		u.t.Fatalf("az %s: %v\n%s", args[0], err, out)
	}
}

// forget has az forget what it was told last: a refusal is kept for a minute.
func (u *azUser) forget() {
	u.t.Helper()
	if err := os.RemoveAll(filepath.Join(u.dir, "msal_http_cache.bin")); err != nil {
		u.t.Fatal(err)
	}
}

// processes returns the directories in /proc of what runs for u.
func (u *azUser) processes() (dirs []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if bytes.Contains(read(dir+"/environ"), []byte("AZURE_CONFIG_DIR="+u.dir+"\x00")) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// read returns what the file at path holds, and nothing of one that is gone.
func read(path string) []byte {
	b, _ := os.ReadFile(path)
	return b
}

// guard returns a context that ends a test which hangs.
func guard(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// wantClaims checks that tok is valid for audience and that its expiry is its
// own, and returns what it says.
func (u *azUser) wantClaims(tok token.Token, err error, audience string) map[string]any {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
	claims, err := u.Validate(tok.Reveal(), audience)
	if err != nil {
		u.t.Fatal(err)
	}
	exp, _ := claims["exp"].(float64)
	// az reckons by what is left when it hears of it, which may take a while.
	if off := tok.Expiry().Sub(time.Unix(int64(exp), 0)).Abs(); off > 10*time.Minute || tok.Source() != "az" {
		u.t.Errorf("source %q, expiry %v, which is %v off", tok.Source(), tok.Expiry(), off)
	}
	return claims
}

// lastScope is what az last asked the authority for, as wanted by a source.
func (u *azUser) lastScope() string {
	all := u.Requests()
	for i := len(all) - 1; i >= 0; i-- {
		if r := all[i]; r.Grant == "refresh_token" && !strings.Contains(r.Scope, "management") {
			return r.Scope
		}
	}
	return ""
}
