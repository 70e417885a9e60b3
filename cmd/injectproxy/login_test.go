//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// loginHome is a home with audiences a and b, which have az, and a static one.
func loginHome(t testing.TB, a *entratest.Authority) (home string, az *scriptedAz) {
	t.Helper()
	home = t.TempDir()
	settings{
		entra: a, files: tokenFiles,
		tables: azAudience + "[audience.b]\nresource = \"api://" + apiTwo + "/\"\nsources = [\"az\"]\n[audience.static]\ntoken_file = \"a.token\"\n" +
			rule("https://api.example.test/"),
	}.write(t, home)
	return home, azAt(t, home, a)
}

// wantNoToken fails the test if out shows a token that az has given.
func (az *scriptedAz) wantNoToken(t testing.TB, out string) {
	t.Helper()
	az.mu.Lock()
	defer az.mu.Unlock()
	if len(az.tokens) == 0 {
		t.Error("az has given no token, so nothing was tried")
	}
	if found := leaks(out, az.tokens); found != nil {
		t.Errorf("the output shows the tokens of %q", found)
	}
}

func TestLoginSignsInAndTellsAsWhom(t *testing.T) {
	t.Parallel()
	home, az := loginHome(t, startTenants(t))
	az.refuses(azSaid(t, "aadsts70043"))
	shown := azSaid(t, "device-code")
	az.plays(func(r *azRun) {
		if r.is("login") {
			r.says(shown)
		}
		az.usual(r)
	})
	out, status := runToEnd(t, home, toolEnv(home), "login", "a")
	if status != 0 || lineWith(out, "audience a: signed in as ada@example.test, from az, until 20") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if !strings.Contains(out, "https://login.microsoftonline.com/devicelogin and enter the code 5EDCCCFA5") {
		t.Errorf("the code is not shown:\n%s", out)
	}
	az.wantNoToken(t, out)
	az.wantRuns(t, 1, "login")
	if r := az.all("login")[0]; r.value("--tenant") != testTenant || r.value("--scope") != scopeOne || r.Stdin != "" {
		t.Errorf("ran az %q", r.Args)
	}

	// By name it signs in again whatever there is.
	if out, status := runToEnd(t, home, toolEnv(home), "login", "b"); status != 0 || lineWith(out, "audience b: signed in") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if logins := az.all("login"); len(logins) != 2 || logins[1].value("--scope") != "api://"+apiTwo+"/.default" || slices.Contains(logins[1].Args, "--tenant") {
		t.Errorf("%d sign-ins, want 2", len(logins))
	}
}

func TestLoginToAllSignsInWhereATokenIsMissing(t *testing.T) {
	t.Parallel()
	home, az := loginHome(t, startTenants(t))
	az.refuses(azSaid(t, "not-signed-in"))
	for logins, what := range []string{"audience a: has a token", "audience a: signed in"} {
		if logins == 0 {
			az.signIn()
		} else {
			az.refuses(azSaid(t, "not-signed-in"))
		}
		out, status := runToEnd(t, home, toolEnv(home), "login")
		if status != 0 || lineWith(out, what, "ada@example.test", "from az") == "" || lineWith(out, "audience b: has a token") == "" || strings.Contains(out, "static") {
			t.Errorf("exit status %d:\n%s", status, out)
		}
		az.wantNoToken(t, out)
		az.wantRuns(t, logins, "login")
	}
}

func TestLoginThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for name, tt := range map[string]struct {
		args   []string
		login  string // what az says
		status int
		says   []string
		runs   int
	}{
		"unknown":  {[]string{"gateway"}, "", 2, []string{`error: there is no audience "gateway"`, "a, b, static"}, 0},
		"static":   {[]string{"static"}, "", 2, []string{"error: audience static", "hint: ", "device-code"}, 0},
		"too many": {[]string{"a", "b"}, "", 2, []string{"error: "}, 0},
		"declined": {[]string{"a"}, "login-declined", 1, []string{"error: audience a: az: AADSTS65004", "hint: " + loginOne + "\n"}, 1},
		"policy":   {[]string{"a"}, "login-53003", 1, []string{"error: audience a: az: AADSTS53003", "hint: "}, 1},
		"declined, all": {nil, "login-declined", 1, []string{
			"error: audience a: az: AADSTS65004", "hint: " + loginOne + "\n",
			"error: audience b: az: AADSTS65004", "hint: az login --scope api://" + apiTwo + "/.default --allow-no-subscriptions\n",
		}, 4},
		"not understood": {[]string{"a"}, "unrecognised-argument", 1, []string{"error: audience a: az", "hint: az upgrade"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home, az := loginHome(t, a)
			az.refuses(azSaid(t, "not-signed-in"))
			if tt.login != "" {
				said := azSaid(t, tt.login)
				az.plays(func(r *azRun) {
					if r.is("login") {
						r.ends("", said, 1)
					} else {
						az.usual(r)
					}
				})
			}
			out, status := runToEnd(t, home, toolEnv(home), append([]string{"login"}, tt.args...)...)
			if status != tt.status {
				t.Errorf("exit status %d, want %d:\n%s", status, tt.status, out)
			}
			for _, s := range tt.says {
				if !strings.Contains(out, s) {
					t.Errorf("does not say %q:\n%s", s, out)
				}
			}
			az.wantRuns(t, tt.runs)
		})
	}
}

// A shell that has been set up for a running serve has its address in these
// variables. It would have to sign in to sign in.
func TestLoginDoesNotGoThroughTheServeOfItsConfiguration(t *testing.T) {
	t.Parallel()
	a := startIdentity(t)
	serve, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer serve.Close()
	var calls atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := serve.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()
	home := t.TempDir()
	settings{
		entra: a, top: fmt.Sprintf("listen = %q\nupstream_proxy = \"env\"", serve.Addr()),
		tables: azAudience + "[audience.b]\nclient_id = \"" + apiTwo + "\"\n" + rule("https://api.example.test/"),
	}.write(t, home)
	az := azAt(t, home, a)
	us := "http://injectproxy:credential@" + serve.Addr().String()
	env := toolEnv(home, "HTTPS_PROXY="+us, "HTTP_PROXY="+us, "https_proxy="+us, "ALL_PROXY=http://localhost:"+port(serve.Addr()),
		"AZURE_TENANT_ID="+testTenant, "AZURE_CLIENT_ID="+testClient, "AZURE_CLIENT_SECRET="+testSecret)
	out, status := runToEnd(t, home, env, "login")
	if status != 0 || lineWith(out, "audience a: has a token", "from az") == "" || lineWith(out, "audience b: has a token as "+testClient, "from default") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	for _, r := range az.wait(1) {
		for _, kv := range r.Env {
			if strings.Contains(kv, port(serve.Addr())) {
				t.Errorf("az has %s", kv)
			}
		}
	}
	serve.Close()
	<-ended
	if n := calls.Load(); n > 0 {
		t.Errorf("%d connections to the serve that needs the sign-in", n)
	}
}

func TestInterruptedLoginLeavesNoAz(t *testing.T) {
	t.Parallel()
	home, az := loginHome(t, startTenants(t))
	az.plays(func(*azRun) {}) // it waits for a person
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	cmd := command(t, ctx, home, toolEnv(home), "login", "a")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	r := az.wait(1, "login")[0]
	must(t, cmd.Process.Signal(os.Interrupt))
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 1 || lineWith(out.String(), "error: audience a: az") == "" {
		t.Errorf("exit status %d:\n%s", status, out.String())
	}
	r.wantGone(t)
}
