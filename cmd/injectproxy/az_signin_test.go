//go:build unix

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

const autoLogin = "[token]\nlogin = \"auto\"\n"

// asksPersons returns a part in which login waits until released and then
// signs in, and everything else is as usual.
func (az *scriptedAz) asksPersons(release <-chan struct{}) func(*azRun) {
	return func(r *azRun) {
		if !r.is("login") || r.held(release) {
			az.usual(r)
		}
	}
}

func TestWaitingRequestsShareOneSignIn(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for _, said := range []string{"aadsts70043", "aadsts50076", "not-signed-in"} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: autoLogin + azAudience + rulesOfBothKinds(o)})
			az := b.az(a)
			az.refuses(azSaid(t, said))
			signIn := make(chan struct{})
			az.plays(az.asksPersons(signIn))
			clients := []*http.Client{b.client("h2"), b.client("h1")}
			only(t, crowd(t, clients, 50, "POST", o.url("/plain"), func() { az.wait(1, "login"); close(signIn) }), http.StatusOK, 50)
			if n := len(o.taken()); n != 50 {
				t.Errorf("the upstream saw %d requests, want 50", n)
			}
			az.wantRuns(t, 2, "account", "get-access-token") // before and after
			az.wantRuns(t, 1, "login")
			if r := az.all("login")[0]; r.value("--tenant") != testTenant || r.value("--scope") != scopeOne || r.Stdin != "" {
				t.Errorf("ran az %q", r.Args)
			}
			az.wantRuns(t, 3)
			b.log.wait(t, `msg="first token"`, "source=az", "identity=ada@example.test")
		})
	}
}

func TestTenantsSignInAtTheSameTimeAndEachOnce(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", nil, "api.example.test")
	tables := autoLogin
	for i, audience := range []struct{ api, tenant string }{{apiOne, testTenant}, {apiTwo, testTenant}, {apiOne, secondTenant}} {
		tables += fmt.Sprintf("[audience.x%d]\nresource = \"api://%s/\"\ntenant = %q\nsources = [\"az\"]\n", i, audience.api, audience.tenant)
		tables += strings.Replace(rule(o.url(fmt.Sprint("/", i))), `"a"`, fmt.Sprintf(`"x%d"`, i), 1)
	}
	b := newTestbed(t, settings{entra: a, tables: tables})
	az := b.az(a)
	az.refuses(azSaid(t, "not-signed-in"))
	signIn := make(chan struct{})
	az.plays(az.asksPersons(signIn))
	c := b.client("h2")
	answers := make(chan reply, 3)
	ask := func(i int) {
		req := newGet(t, o.url(fmt.Sprintf("/%d/x", i)))
		go func() {
			r, err := trySend(c, req)
			if err != nil {
				t.Error(err)
			}
			answers <- r
		}()
	}
	ask(0)
	az.wait(1, "login")
	ask(1) // waits for the one that is open
	ask(2)
	logins := az.wait(2, "login") // both are open
	az.wait(3, "account")
	for i, tenant := range []string{testTenant, secondTenant} {
		if r := logins[i]; r.value("--tenant") != tenant || r.value("--scope") != scopeOne {
			t.Errorf("ran az %q", r.Args)
		}
	}
	close(signIn)
	for range 3 {
		(<-answers).wantStatus(t, http.StatusOK)
	}
	az.wantRuns(t, 2, "login")
}

func newGet(t testing.TB, target string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
	must(t, err)
	return req
}

// Nobody is asked again for 10 min, then for 20.
func TestDeclinedSignInIsNotOfferedAgainSoon(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: autoLogin + azAudience + rulesOfBothKinds(o)}, at(clock))
	az := b.az(a)
	az.refuses(azSaid(t, "aadsts70043"))
	declined := azSaid(t, "login-declined")
	az.plays(func(r *azRun) {
		if !r.is("login") {
			az.usual(r)
			return
		}
		r.ends("", declined, 1)
	})
	c := b.client("h2")
	for _, step := range []struct {
		wait   time.Duration
		logins int
	}{{0, 1}, {2 * time.Second, 1}, {9 * time.Minute, 1}, {time.Minute, 2}, {19 * time.Minute, 2}, {62 * time.Second, 3}} {
		clock.by.Add(int64(step.wait))
		p := call(t, c, "GET", o.url("/plain"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
		if p.Hint != loginOne || !strings.Contains(p.Detail, "declined") || !strings.Contains(p.Detail, "the next one is offered at") {
			t.Errorf("%+v does not tell of the decline, and how to sign in after all", p)
		}
		message, _ := post(t, c, o.url("/mcp"), callTool("7")).explained(t, "7", http.StatusNetworkAuthenticationRequired)
		if !strings.Contains(message, "declined") || !strings.Contains(message, loginOne) {
			t.Errorf("%q", message)
		}
		az.wantRuns(t, step.logins, "login")
	}
	az.wantRuns(t, 5, "account") // whenever the failure was a minute old
	o.nothing(t)

	az.signIn() // elsewhere, as the hint says
	clock.by.Add(int64(6 * time.Second))
	call(t, c, "GET", o.url("/plain"), nil).wantStatus(t, http.StatusOK)
	az.wantRuns(t, 3, "login")
}

// wantingMore answers with a claims challenge until a token is another than the
// first.
func wantingMore(status int, claims string) func(http.ResponseWriter, sighting) {
	first := make(chan string, 1)
	return func(w http.ResponseWriter, s sighting) {
		var old string
		select {
		case first <- s.bearer():
			old = s.bearer()
		case old = <-first:
			first <- old
		}
		if s.bearer() == old {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(claims))+`"`)
			w.WriteHeader(status)
			io.WriteString(w, "more, please")
		}
	}
}

func TestClaimsChallengeIsMetByASignIn(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	const claims = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	encoded := base64.StdEncoding.EncodeToString([]byte(claims))
	for name, tt := range map[string]struct {
		status  int
		version string
		passed  string
	}{
		"401":         {http.StatusUnauthorized, "2.76.0", encoded},
		"403":         {http.StatusForbidden, "2.80.1", encoded},
		"401, old az": {http.StatusUnauthorized, "2.75.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", wantingMore(tt.status, claims), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: autoLogin + azAudience + rulesOfBothKinds(o)})
			az := b.az(a)
			az.version = tt.version
			post(t, b.client("h2"), o.url("/mcp"), callTool("7")).wantStatus(t, http.StatusOK)
			if seen := o.taken(); len(seen) != 2 || seen[0].bearer() == seen[1].bearer() {
				t.Errorf("%d requests arrived, want the first once more with another token", len(seen))
			}
			az.wantRuns(t, 1, "login")
			if r := az.all("login")[0]; r.value("--claims-challenge") != tt.passed || r.value("--tenant") != testTenant || r.value("--scope") != scopeOne {
				t.Errorf("ran az %q, want the claims %q", r.Args, tt.passed)
			}
		})
	}
}

// Off and notify open nothing, whatever is asked for.
func TestSignInIsTheUsersToMakeUnlessTheModeIsAuto(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	const claims = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	challenged := loginOne + " --claims-challenge " + base64.StdEncoding.EncodeToString([]byte(claims))
	for mode, tell := range map[string]bool{"off": false, "notify": true} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			clock := new(advanced)
			notices := make(chan string, 16)
			o := newOrigin(t, "h2", wantingMore(http.StatusUnauthorized, claims), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: "[token]\nlogin = \"" + mode + "\"\n" + azAudience + rulesOfBothKinds(o)}, at(clock),
				func(_ *config.Config, s *surroundings) {
					s.notify = func(title, message string) { notices <- title + ": " + message }
				})
			az := b.az(a)
			az.version = "2.76.0"
			c := b.client("h2")
			noticed := func(command string) {
				t.Helper()
				if !tell {
					return
				}
				if got := <-notices; !strings.HasSuffix(got, "needs a sign-in: "+command) {
					t.Errorf("notification %q does not end in %q", got, command)
				}
			}
			message, _ := post(t, c, o.url("/mcp"), callTool("7")).explained(t, "7", http.StatusBadGateway)
			if !strings.Contains(message, challenged) {
				t.Errorf("%q does not say %q", message, challenged)
			}
			noticed(challenged)

			clock.by.Add(int64(2 * time.Hour)) // the token ends, and with it the session
			az.refuses(azSaid(t, "aadsts70043"))
			for range 3 {
				if p := call(t, c, "GET", o.url("/plain"), nil).problem(t, http.StatusNetworkAuthenticationRequired); p.Hint != loginOne {
					t.Errorf("hint %q, want %q", p.Hint, loginOne)
				}
				clock.by.Add(int64(65 * time.Second)) // az is asked again, and the user not told again
			}
			noticed(loginOne)
			clock.by.Add(int64(10 * time.Minute))
			call(t, c, "GET", o.url("/plain"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
			noticed(loginOne)
			az.wantRuns(t, 0, "login")
			az.wantRuns(t, 6, "account")
			b.Shutdown(canceled())
			b.close() // shows what it has yet to show
			if len(notices) > 0 {
				t.Errorf("one more notification: %q", <-notices)
			}
		})
	}
}

// untilServed repeats a request until it succeeds, each time after meanwhile.
func (b *testbed) untilServed(c *http.Client, target string, meanwhile func()) {
	b.t.Helper()
	for late := time.Now().Add(guard); ; {
		meanwhile()
		r := call(b.t, c, "GET", target, nil)
		if r.status == http.StatusOK {
			return
		}
		if time.Now().After(late) {
			b.t.Fatalf("status %d for too long: %s", r.status, r.body)
		}
	}
}

// A request has less time than a person with a code: who waits is told the
// code, and the sign-in goes on.
func TestDeviceCodeReachesWhoWaits(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	notices := make(chan string, 16)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	tables := "[token]\nlogin = \"auto\"\ntimeout = \"2s\"\n" + azAudience + rulesOfBothKinds(o)
	b := newTestbed(t, settings{entra: a, tables: tables}, at(clock), func(_ *config.Config, s *surroundings) {
		s.notify = func(_, message string) { notices <- message }
	})
	az := b.az(a)
	az.refuses(azSaid(t, "not-signed-in"))
	shown, signIn := azSaid(t, "device-code"), make(chan struct{})
	az.plays(func(r *azRun) {
		if r.is("login") {
			r.says(shown)
		}
		az.asksPersons(signIn)(r)
	})
	c := b.client("h2")
	const code = "open https://login.microsoftonline.com/devicelogin and enter the code 5EDCCCFA5"
	r := call(t, c, "GET", o.url("/plain"), nil)
	for late := time.Now().Add(guard); r.status == http.StatusServiceUnavailable && time.Now().Before(late); { // a busy machine
		clock.by.Add(int64(3 * time.Second))
		r = call(t, c, "GET", o.url("/plain"), nil)
	}
	if p := r.problem(t, http.StatusNetworkAuthenticationRequired); !strings.Contains(p.Detail, code) || p.Hint != loginOne {
		t.Errorf("%+v does not say %q", p, code)
	}
	if message, _ := post(t, c, o.url("/mcp"), callTool("7")).explained(t, "7", http.StatusNetworkAuthenticationRequired); !strings.Contains(message, code) {
		t.Errorf("%q does not say %q", message, code)
	}
	b.log.wait(t, "level=WARN", code, "audience=a")
	for !strings.Contains(<-notices, code) {
	}
	close(signIn)
	b.log.wait(t, `msg="signed in"`)
	b.untilServed(c, o.url("/plain"), func() {}) // the failure is dropped soon after that line
	az.wantRuns(t, 1, "login")
	if args := az.all("login")[0].Args; runtime.GOOS == "linux" && !slices.Contains(args, "--use-device-code") {
		t.Errorf("ran az %q, and there is no display", args)
	}
}
