//go:build unix

package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/clientenv"
)

// trusts reports whether curl and Go, trusting the roots in file, get an answer
// through d.
func trusts(t *testing.T, d *daemon, file string) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	pool := x509.NewCertPool()
	for _, c := range certificates(t, data) {
		pool.AddCert(c)
	}
	c := clientOf(t, &url.URL{Scheme: "http", Host: d.addr}, d.root(), "h1")
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
	res, goErr := c.Get("https://api.example.test/v1/x")
	if goErr == nil {
		res.Body.Close()
	}
	const badCertificate = 60
	cmd := exec.CommandContext(t.Context(), "curl", "-sS", "-o", os.DevNull, "--cacert", file,
		"--proxy", "http://"+d.addr, "https://api.example.test/v1/x")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, curlErr := cmd.CombinedOutput()
	if status := cmd.ProcessState.ExitCode(); status != 0 && status != badCertificate {
		t.Fatalf("curl: %v: %s", curlErr, out)
	}
	if (goErr == nil) != (curlErr == nil) {
		t.Fatalf("with %s Go says %v and curl %v", file, goErr, curlErr)
	}
	return goErr == nil
}

func TestClientsGetTheOldChainUntilTheRotationIsFinished(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		absent(t, "curl is not installed")
	}
	home := t.TempDir()
	dir := caDir(home)
	exchangeConfig(t, newOrigin(t, "h1", nil, "api.example.test"), "", "").write(t, home)
	d := startDaemon(t, home, nil)
	restart := func() {
		d.signal(os.Interrupt)
		d.stopped()
		d = startDaemon(t, home, nil)
	}
	rotate := func(args ...string) {
		t.Helper()
		if out, status := runToEnd(t, home, nil, append([]string{"ca", "rotate"}, args...)...); status != 0 {
			t.Fatalf("rotate %q: exit status %d:\n%s", args, status, out)
		}
	}
	keep := func(name, as string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(home, as), data, 0o600))
		return filepath.Join(home, as)
	}
	want := func(when string, files map[string]bool) {
		t.Helper()
		for file, want := range files {
			if got := trusts(t, d, file); got != want {
				t.Errorf("%s: who trusts %s gets an answer: %t", when, filepath.Base(file), got)
			}
		}
	}
	old, bundle := keep("ca.pem", "old.pem"), filepath.Join(dir, "bundle.pem")
	rotate()
	next := keep("next/ca.pem", "next.pem")
	early := keep("bundle.pem", "early-bundle.pem") // a client that has started by now holds it
	want("rotating", map[string]bool{old: true, next: false, early: true})
	restart()
	want("restarted while rotating", map[string]bool{old: true, next: false, early: true, bundle: true})
	later := keep("bundle.pem", "later-bundle.pem")
	rotate("--finish")
	d.log.wait(t, "the CA that follows is in use", "fingerprint=")
	want("finished, not restarted", map[string]bool{old: false, next: true, early: true, later: true, bundle: true})
	restart()
	want("restarted", map[string]bool{old: false, next: true, early: true, later: true, bundle: true, filepath.Join(dir, "ca.pem"): true})
}

func TestRotationWhileServingLosesNoRequest(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	o := newOrigin(t, "h1", nil, "api.example.test", "other.example.test")
	s := exchangeConfig(t, o, "", "")
	s.write(t, home)
	d := startDaemon(t, home, nil)
	s.tables += rule("https://other.example.test/", `name = "added"`)
	s.write(t, home)
	d.log.wait(t, "a rule is off", "rule=added")

	both := x509.NewCertPool()
	both.AddCert(d.root())
	if out, status := runToEnd(t, home, nil, "ca", "rotate"); status != 0 {
		t.Fatal(out)
	}
	old := d.root()
	data, err := os.ReadFile(filepath.Join(caDir(home), "next", "ca.pem"))
	must(t, err)
	both.AddCert(certificates(t, data)[0])
	client := func() *http.Client { // each has connections of its own
		c := clientOf(t, &url.URL{Scheme: "http", Host: d.addr}, old, "h2")
		c.Transport.(*http.Transport).TLSClientConfig.RootCAs = both
		return c
	}
	kept := client()
	call(t, kept, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var sent atomic.Int64
	for range 3 {
		load.Go(func() {
			for ctx.Err() == nil {
				c := client()
				for range 3 {
					res, err := c.Get("https://api.example.test/v1/x")
					if err != nil {
						t.Errorf("a request was lost: %v", err)
						return
					}
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						t.Errorf("a request was lost: %d", res.StatusCode)
					}
					sent.Add(1)
				}
				c.CloseIdleConnections()
			}
		})
	}
	if out, status := runToEnd(t, home, nil, "ca", "rotate", "--finish"); status != 0 {
		t.Error(out)
	}
	d.log.wait(t, "the CA that follows is in use")
	stop()
	load.Wait()
	if sent.Load() == 0 {
		t.Error("there was no load")
	}
	call(t, kept, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	if d.root().Equal(old) {
		t.Fatal("ca.pem is the old one")
	}
	o.taken()
	// The rule whose host the new one is for is on.
	call(t, d.client("h1", nil), "GET", "https://other.example.test/x", nil).wantStatus(t, http.StatusOK)
	if seen := o.one(t); seen.bearer() != tokenA {
		t.Errorf("token %q arrived", seen.bearer())
	}
}

func TestRestartInAShellOfEnvKeepsTheRootsThatWereThereBefore(t *testing.T) {
	t.Parallel()
	home, dir := t.TempDir(), t.TempDir()
	exchangeConfig(t, newOrigin(t, "h1", nil, "api.example.test"), "", "").write(t, home)
	permit, err := ca.ParsePermit([]string{"corp.example"})
	must(t, err)
	corporate, err := ca.Ephemeral(permit, nil)
	must(t, err)
	roots, bundle := filepath.Join(dir, "corporate.pem"), filepath.Join(caDir(home), "bundle.pem")
	must(t, os.WriteFile(roots, corporate.RootPEM(), 0o600))
	shell := []string{"SSL_CERT_FILE=" + roots}
	for _, when := range []string{"first", "from a shell that env has set"} {
		d := startDaemon(t, home, shell)
		data, err := os.ReadFile(bundle)
		must(t, err)
		if !within(certificatesIn(data), certificatesIn(corporate.RootPEM())) {
			t.Errorf("%s: the bundle lacks the root that SSL_CERT_FILE named", when)
		}
		if info, err := os.Stat(trustStoreFile(home)); err != nil || info.Size() == 0 {
			t.Errorf("%s: Java's trust store: %v", when, err)
		}
		d.signal(os.Interrupt)
		d.stopped()
		shell = clientenv.For(clientenv.Settings{
			Proxy: &url.URL{Scheme: "http", Host: d.addr}, RootFile: filepath.Join(caDir(home), "ca.pem"), BundleFile: bundle,
			Authorities: []string{"api.example.test:443"}, Environ: shell,
		}).Apply(shell)
	}
}

func TestRotationSaysWhatIsToBeTrusted(t *testing.T) {
	old := madeCA(t)
	dir := filepath.Dir(old.RootFile())
	settings{tables: fileAudiences + rule("https://new.example/")}.write(t, filepath.Dir(dir))
	show := func() (text string, d caDescription) {
		t.Helper()
		_, text, _ = invoke("ca", "show")
		_, asJSON, _ := invoke("ca", "show", "--json")
		must(t, json.Unmarshal([]byte(asJSON), &d))
		return text, d
	}
	status, stdout, stderr := invoke("ca", "rotate")
	next, err := ca.Next(dir, nil)
	must(t, err)
	for _, want := range []string{next.RootFile(), next.Fingerprint(), "new.example; nothing else", "injectproxy ca rotate --finish"} {
		if status != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("rotate exits %d without %q: %s%s", status, want, stdout, stderr)
		}
	}
	text, d := show()
	if !strings.Contains(text, "SHA-256      "+old.Fingerprint()) || !strings.Contains(text, "root         "+next.RootFile()+"\n") ||
		!strings.Contains(text, "SHA-256      "+next.Fingerprint()) {
		t.Errorf("show says\n%s", text)
	}
	if d.Fingerprint != old.Fingerprint() || d.Next == nil || d.Next.Fingerprint != next.Fingerprint() || d.Retired != nil {
		t.Errorf("show --json says %+v", d)
	}
	if status, stdout, _ := invoke("ca", "rotate", "--finish"); status != 0 || !strings.Contains(stdout, next.Fingerprint()) {
		t.Errorf("--finish exits %d: %s", status, stdout)
	}
	text, d = show()
	if !strings.Contains(text, "retired, so clients need it no longer (injectproxy ca uninstall --retired):\nSHA-256      "+old.Fingerprint()+"\n") {
		t.Errorf("show says\n%s", text)
	}
	if d.Fingerprint != next.Fingerprint() || d.Next != nil || len(d.Retired) != 1 || d.Retired[0] != old.Fingerprint() {
		t.Errorf("show --json says %+v", d)
	}
	status, _, stderr = invoke("ca", "rotate", "--finish")
	if status != exitFailed || !strings.Contains(stderr, "no rotation is under way\nhint: injectproxy ca rotate\n") {
		t.Errorf("a second --finish exits %d: %s", status, stderr)
	}
}

func TestSwitchToACAThatLacksARuleIsRefused(t *testing.T) {
	old := madeCA(t)
	home := filepath.Dir(filepath.Dir(old.RootFile()))
	s := settings{tables: fileAudiences + rule("https://new.example/", `name = "first"`)}
	s.write(t, home)
	invoke("ca", "rotate")
	s.tables += rule("https://late.example/", `name = "late"`)
	s.write(t, home)
	status, _, stderr := invoke("ca", "rotate", "--finish")
	if status != exitFailed || !strings.Contains(stderr, "rule late") || !strings.Contains(stderr, "hint: injectproxy ca rotate\n") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	for _, args := range [][]string{{"ca", "rotate"}, {"ca", "rotate", "--finish"}} {
		if status, _, stderr := invoke(args...); status != 0 {
			t.Errorf("%q exits %d: %s", args, status, stderr)
		}
	}
	authority, err := ca.Open(caDir(home), nil)
	must(t, err)
	if authority.Check("late.example") != nil {
		t.Errorf("the CA is for %s", authority.Permit())
	}
}

func TestCanceledRotationChangesNothing(t *testing.T) {
	old := madeCA(t)
	settings{tables: fileAudiences + rule("https://new.example/")}.write(t, filepath.Dir(filepath.Dir(old.RootFile())))
	for _, args := range [][]string{{"ca", "rotate"}, {"ca", "rotate", "--cancel"}} {
		if status, _, stderr := invoke(args...); status != 0 {
			t.Errorf("%q exits %d: %s", args, status, stderr)
		}
	}
	if _, text, _ := invoke("ca", "show"); !strings.Contains(text, "SHA-256      "+old.Fingerprint()) || strings.Contains(text, "successor") {
		t.Errorf("show says\n%s", text)
	}
}
