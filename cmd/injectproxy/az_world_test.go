//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// azRun is one run of a played tool, as the stage sees it.
type azRun struct {
	toolRun
	gone chan struct{} // closed once its process has ended

	mu   sync.Mutex
	conn net.Conn
}

// is reports whether the arguments begin with words.
func (r *azRun) is(words ...string) bool {
	return len(r.Args) >= len(words) && slices.Equal(r.Args[:len(words)], words)
}

// value returns what stands behind the argument of that name, "" for nothing.
func (r *azRun) value(name string) string {
	if i := slices.Index(r.Args, name); i >= 0 && i+1 < len(r.Args) {
		return r.Args[i+1]
	}
	return ""
}

// variable returns a variable of its environment, "" if that is not set.
func (r *azRun) variable(name string) string {
	for _, kv := range r.Env {
		if n, v, _ := strings.Cut(kv, "="); n == name {
			return v
		}
	}
	return ""
}

// says has the tool print and go on.
func (r *azRun) says(stderr string) { r.tell(toolLine{Stderr: stderr}) }

// ends has the tool print and end.
func (r *azRun) ends(stdout, stderr string, status int) {
	r.tell(toolLine{Stdout: stdout, Stderr: stderr, Last: true, Status: status})
}

// tell does not mind that the process may have been killed.
func (r *azRun) tell(line toolLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = json.NewEncoder(r.conn).Encode(line)
}

// held waits until the test lets r go on, and reports whether it still runs.
func (r *azRun) held(release <-chan struct{}) bool {
	select {
	case <-release:
		return true
	case <-r.gone:
		return false
	}
}

// wantGone fails the test unless the process ends.
func (r *azRun) wantGone(t testing.TB) {
	t.Helper()
	select {
	case <-r.gone:
	case <-time.After(guard):
		t.Errorf("%s %q lives on", r.Name, r.Args)
	}
}

// scriptedAz is an az that the test binary plays. Unless the test says
// otherwise it has somebody signed in, gives a token again until that changes,
// as az does, and signs in whoever asks it to.
type scriptedAz struct {
	t      testing.TB
	entra  *entratest.Authority
	config string // AZURE_CONFIG_DIR

	mu      sync.Mutex
	runs    []*azRun
	changed chan struct{} // closed by the next run
	part    func(*azRun)  // what it does, nil for the usual
	refusal string        // what it says in place of a token
	version string
	signIns int // how often somebody has signed in, here or elsewhere
	tokens  map[string]string
}

// newScriptedAz puts the played tools into bin. They go by config, which is
// the AZURE_CONFIG_DIR to give them.
func newScriptedAz(t testing.TB, entra *entratest.Authority, bin, config string) *scriptedAz {
	t.Helper()
	az := &scriptedAz{t: t, entra: entra, config: config, version: "2.75.0", tokens: map[string]string{}}
	exe, err := os.Executable()
	must(t, err)
	must(t, os.MkdirAll(bin, 0o700))
	for _, name := range playedTools() {
		must(t, os.Symlink(exe, filepath.Join(bin, name)))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	writeTestFile(t, filepath.Join(config, stageFile), l.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { az.meet(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		for _, r := range az.all() {
			r.conn.Close() // the process ends
		}
		serving.Wait()
	})
	return az
}

// az puts a scripted az where b finds it.
func (b *testbed) az(entra *entratest.Authority) *scriptedAz {
	b.t.Helper()
	return newScriptedAz(b.t, entra, filepath.Join(b.dir, "bin"), filepath.Join(b.dir, "azure"))
}

// meet has one run play its part.
func (az *scriptedAz) meet(c net.Conn) {
	defer c.Close()
	d := json.NewDecoder(c)
	r := &azRun{conn: c, gone: make(chan struct{})}
	if d.Decode(&r.toolRun) != nil {
		return // killed before it had begun
	}
	az.mu.Lock()
	az.runs = append(az.runs, r)
	part := az.part
	if az.changed != nil {
		close(az.changed)
		az.changed = nil
	}
	az.mu.Unlock()
	var playing sync.WaitGroup
	playing.Go(func() {
		if part != nil {
			part(r)
		} else {
			az.usual(r)
		}
	})
	var none any
	_ = d.Decode(&none) // it says no more: this is its end
	close(r.gone)
	playing.Wait()
}

// plays replaces the usual part, for the runs from now on.
func (az *scriptedAz) plays(part func(*azRun)) {
	az.mu.Lock()
	defer az.mu.Unlock()
	az.part = part
}

// usual is the part of an az that works.
func (az *scriptedAz) usual(r *azRun) {
	switch {
	case r.Name != "az":
		r.ends("", "", 0)
	case r.is("version"):
		r.ends(fmt.Sprintf(`{"azure-cli": %q, "extensions": {}}`, az.version), "", 0)
	case r.is("login"):
		az.signIn()
		r.ends("", "", 0)
	case r.is("account", "get-access-token"):
		az.giveToken(r)
	default:
		r.ends("", "ERROR: unrecognized arguments", 2)
	}
}

// giveToken prints the token that r asks for, as az before 2.54 and after.
func (az *scriptedAz) giveToken(r *azRun) {
	az.mu.Lock()
	defer az.mu.Unlock()
	if az.refusal != "" {
		r.ends("", az.refusal, 1)
		return
	}
	tenant, audience := r.value("--tenant"), r.value("--resource")
	if audience == "" {
		audience = strings.TrimSuffix(r.value("--scope"), "/.default")
	}
	key := tenant + " " + audience
	if az.tokens[key] == "" {
		value, err := az.entra.Issue(entratest.Grant{
			Tenant: tenant, Client: "04b07795-8ddb-461a-bbee-02f9e1bf7b46", Audience: audience,
			User: &entratest.User{ObjectID: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", Username: "ada@example.test", Name: "Ada"}, Scopes: []string{"access_as_user"},
		})
		if err != nil {
			az.t.Errorf("az was asked for %q: %v", audience, err)
		}
		az.tokens[key] = value
	}
	r.ends(fmt.Sprintf(`{"accessToken": %q, "expires_on": %d, "expiresOn": "1999-01-01 00:00:00.000000", "tokenType": "Bearer"}`,
		az.tokens[key], time.Now().Add(time.Hour).Unix()), "", 0)
}

// signIn is what a sign-in does, whoever makes it: other tokens, and files that
// have changed.
func (az *scriptedAz) signIn() {
	az.mu.Lock()
	defer az.mu.Unlock()
	az.signIns++
	az.refusal, az.tokens = "", map[string]string{}
	writeTestFile(az.t, filepath.Join(az.config, "msal_token_cache.json"), strings.Repeat(" ", az.signIns))
}

// refuses has az say this in place of a token until somebody signs in.
func (az *scriptedAz) refuses(stderr string) {
	az.mu.Lock()
	defer az.mu.Unlock()
	az.refusal = stderr
}

// all returns the runs whose arguments begin with words.
func (az *scriptedAz) all(words ...string) (runs []*azRun) {
	az.mu.Lock()
	defer az.mu.Unlock()
	for _, r := range az.runs {
		if r.is(words...) {
			runs = append(runs, r)
		}
	}
	return runs
}

// wait returns once there are n runs whose arguments begin with words.
func (az *scriptedAz) wait(n int, words ...string) []*azRun {
	az.t.Helper()
	late := time.NewTimer(guard)
	defer late.Stop()
	for {
		az.mu.Lock()
		if az.changed == nil {
			az.changed = make(chan struct{})
		}
		changed := az.changed
		az.mu.Unlock()
		if runs := az.all(words...); len(runs) >= n {
			return runs
		}
		select {
		case <-changed:
		case <-late.C:
			az.t.Fatalf("az %q was run %d times, want %d", words, len(az.all(words...)), n)
		}
	}
}

// wantRuns fails the test unless there were n runs whose arguments begin with
// words.
func (az *scriptedAz) wantRuns(t testing.TB, n int, words ...string) {
	t.Helper()
	if runs := az.all(words...); len(runs) != n {
		t.Errorf("az %q was run %d times, want %d", words, len(runs), n)
	}
}

// azSaid returns what the real az was seen to write on standard error.
func azSaid(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "source", "testdata", "az", name+".stderr"))
	must(t, err)
	return string(b)
}

const (
	secondTenant = "c1d2e3f4-0516-4278-899a-abbccddeef05"
	scopeOne     = "api://" + apiOne + "/.default"
	loginOne     = "az login --tenant " + testTenant + " --scope " + scopeOne + " --allow-no-subscriptions"
)

// azAudience is audience a, of apiOne, which az alone has tokens for.
const azAudience = "[audience.a]\nclient_id = \"" + apiOne + "\"\ntenant = \"" + testTenant + "\"\nsources = [\"az\"]\n"

// startTenants starts an identity service with two tenants.
func startTenants(t testing.TB) *entratest.Authority {
	t.Helper()
	a, err := entratest.Start(entratest.Options{
		Tenants: []string{testTenant, secondTenant}, Subscribed: []string{testTenant},
		Resources: []entratest.Resource{{ID: apiOne, Version: 2}, {ID: apiTwo, Version: 2}},
	})
	must(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

// at puts the clock of tokens into the hands of a test.
func at(clock *advanced) func(*config.Config, *surroundings) {
	return func(_ *config.Config, s *surroundings) { s.now = clock.now }
}
