//go:build unix

package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// declining has az decline each login, and everything else as usual.
func (az *scriptedAz) declining() {
	declined := azSaid(az.t, "login-declined")
	az.plays(func(r *azRun) {
		if r.is("login") {
			r.ends("", declined, 1)
			return
		}
		az.usual(r)
	})
}

// bothAudiences are audiences a and b of one tenant, with a rule for each.
func bothAudiences(o *origin) string {
	second := "[audience.b]\nclient_id = \"" + apiTwo + "\"\ntenant = \"" + testTenant + "\"\nsources = [\"az\"]\n"
	return autoLogin + azAudience + second + rule(o.url("/a")) + strings.Replace(rule(o.url("/b")), `"a"`, `"b"`, 1)
}

// Who declined and then signed in elsewhere did not mean never.
func TestSignInElsewhereEndsThePauseAfterADecline(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: bothAudiences(o)}, at(clock))
	az := b.az(a)
	az.refuses(azSaid(t, "aadsts70043"))
	az.declining()
	c := b.client("h2")
	call(t, c, "GET", o.url("/a"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
	az.wantRuns(t, 1, "login")
	az.signIn() // in a terminal
	clock.by.Add(int64(6 * time.Second))
	call(t, c, "GET", o.url("/a"), nil).wantStatus(t, http.StatusOK)
	az.refuses(azSaid(t, "aadsts70043")) // that session has ended, too
	call(t, c, "GET", o.url("/b"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
	az.wantRuns(t, 2, "login")
}

// Only an administrator can give the consent that is missing.
func TestLoginForConsentIsMadeOnce(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: autoLogin + azAudience + rule(o.url("/"))}, at(clock))
	az := b.az(a)
	consent := azSaid(t, "aadsts65001")
	az.refuses(consent)
	az.plays(func(r *azRun) {
		if az.usual(r); r.is("login") {
			az.refuses(consent) // nothing has changed
		}
	})
	c := b.client("h2")
	for _, wait := range []time.Duration{0, 2 * time.Minute, 12 * time.Minute, time.Hour, 6 * time.Hour} {
		clock.by.Add(int64(wait))
		p := call(t, c, "GET", o.url("/x"), nil).problem(t, http.StatusBadGateway)
		if !strings.Contains(p.Detail, "AADSTS65001") && !strings.Contains(p.Detail, "consent") {
			t.Errorf("%+v does not say what is missing", p)
		}
		az.wantRuns(t, 1, "login")
	}
	if n := len(az.all("account")); n < 5 {
		t.Errorf("az was asked %d times: the failure was never out of date", n)
	}
	o.nothing(t)
}

// A sign-in for one audience is often good for another, whose failure is not
// met for the minute that it would be remembered.
func TestSignInForOneAudienceEndsTheFailureOfAnother(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: bothAudiences(o)}, at(new(advanced))) // no time passes
	az := b.az(a)
	policy := azSaid(t, "aadsts53003") // no sign-in is opened for it
	az.plays(func(r *azRun) {
		if r.is("account") && r.value("--scope") != scopeOne && az.signInsSoFar() == 0 {
			r.ends("", policy, 1)
			return
		}
		az.usual(r)
	})
	az.refuses(azSaid(t, "aadsts70043"))
	c := b.client("h2")
	for range 2 {
		call(t, c, "GET", o.url("/b"), nil).problem(t, http.StatusBadGateway)
	}
	az.wantRuns(t, 1, "account")
	call(t, c, "GET", o.url("/a"), nil).wantStatus(t, http.StatusOK)
	az.wantRuns(t, 1, "login")
	call(t, c, "GET", o.url("/b"), nil).wantStatus(t, http.StatusOK)
}

func (az *scriptedAz) signInsSoFar() int {
	az.mu.Lock()
	defer az.mu.Unlock()
	return az.signIns
}

// That az wants a sign-in is no news if one was made since it was asked.
func TestSignInSinceAzWasAskedIsTheOneThatItWants(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: bothAudiences(o)})
	az := b.az(a)
	said := azSaid(t, "aadsts70043")
	az.refuses(said)
	signIn, answer := make(chan struct{}), make(chan struct{})
	az.plays(func(r *azRun) {
		switch {
		case r.is("login") && !r.held(signIn):
		case r.is("account") && r.value("--scope") != scopeOne && az.signInsSoFar() == 0:
			if r.held(answer) {
				r.ends("", said, 1)
			}
		default:
			az.usual(r)
		}
	})
	c := b.client("h2")
	answers := make(chan reply, 2)
	ask := func(path string) {
		req := newGet(t, o.url(path))
		go func() {
			r, err := trySend(c, req)
			if err != nil {
				t.Error(err)
			}
			answers <- r
		}()
	}
	ask("/a")
	az.wait(1, "login")
	ask("/b")
	az.wait(2, "account") // that of b is slow
	close(signIn)
	b.log.wait(t, `msg="signed in"`)
	close(answer)
	for range 2 {
		(<-answers).wantStatus(t, http.StatusOK)
	}
	az.wantRuns(t, 1, "login")
}

// Login is to sign in once, and what it then asks for is no reason to open
// another sign-in.
func TestLoginOpensOneSignInWhateverTheMode(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	home := t.TempDir()
	settings{entra: a, tables: autoLogin + azAudience + rule("https://api.example.test/")}.write(t, home)
	az := azAt(t, home, a)
	said := azSaid(t, "aadsts70043")
	az.refuses(said)
	az.plays(func(r *azRun) {
		if az.usual(r); r.is("login") {
			az.refuses(said) // it did not help
		}
	})
	out, status := runToEnd(t, home, toolEnv(home), "login", "a")
	if status != 1 || lineWith(out, "error: audience a: az", "AADSTS70043") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	az.wantRuns(t, 1, "login")
	if out, status := runToEnd(t, home, toolEnv(home), "login"); status != 1 {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	az.wantRuns(t, 2, "login")
}

// The tools trust what the proxy trusts.
func TestToolsTrustTheCAOfTheUpstream(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	own := filepath.Join(t.TempDir(), "own.pem")
	for name, tt := range map[string]struct {
		env  string // beside what there is always
		ca   bool
		want [2]string // REQUESTS_CA_BUNDLE, SSL_CERT_FILE
	}{
		"upstream_ca":            {"", true, [2]string{"bundle", "bundle"}},
		"none":                   {"", false, [2]string{"", ""}},
		"the user's own, Python": {"REQUESTS_CA_BUNDLE=" + own, true, [2]string{own, "bundle"}},
		"the user's own, Go":     {"SSL_CERT_FILE=" + own, true, [2]string{"bundle", own}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", nil, "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: azAudience + rule(o.url("/"))}, func(cfg *config.Config, s *surroundings) {
				s.bundle = "bundle"
				if tt.env != "" {
					s.environ = append(s.environ, tt.env)
				}
				if !tt.ca {
					cfg.Upstream.CA = nil
				}
			})
			az := b.az(a)
			call(t, b.client("h2"), "GET", o.url("/x"), nil)
			r := az.wait(1, "account")[0]
			if got := [2]string{r.variable("REQUESTS_CA_BUNDLE"), r.variable("SSL_CERT_FILE")}; got != tt.want {
				t.Errorf("az sees %q, want %q", got, tt.want)
			}
		})
	}
}
