package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// guardTime bounds what could hang. Nothing is expected to come near it.
const guardTime = 60 * time.Second

// serving is a running injectproxy serve.
type serving struct {
	home, address string
	log           *logWatch
}

// options say how serve runs. Rules is TOML with audiences and rules.
type options struct {
	rules  string
	access string   // mode; auto if empty
	env    []string // besides what every process gets
	trust  []string // files, besides the world's root
	hidden []string // what its log must not have
}

// serve runs the binary until the test ends, and then wants it to end with
// status 0 and none of the hidden values in its log.
func (w *world) serve(o options) *serving {
	w.t.Helper()
	t := w.t
	if runtime.GOOS == "windows" {
		t.Skip("serve is ended by a signal here, and Windows has none")
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &serving{home: t.TempDir(), log: &logWatch{address: make(chan string, 1)}}
	if o.access == "" {
		o.access = "auto"
	}
	trust := append([]string{w.caFile}, o.trust...)
	writeFile(t, filepath.Join(p.home, "config.toml"), fmt.Sprintf(`
listen         = "127.0.0.1:0"
upstream_proxy = %q
upstream_ca    = ["%s"]
drain          = "1s"

[admin]
listen = ""

[access]
mode = %q
%s`, w.via.URL, strings.Join(trust, `", "`), o.access, o.rules))

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "serve", "--log-level", "debug")
	cmd.Env = append(environment(), append(o.env, "INJECTPROXY_HOME="+p.home)...)
	ownGroup(cmd)
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		defer cancel()
		stop(t, cmd, done, cancel)
		p.log.check(t, o.hidden)
	})
	p.address = p.log.wait(t, done)
	return p
}

// stop ends cmd as a service manager would and wants it to agree.
func stop(t *testing.T, cmd *exec.Cmd, done chan error, kill func()) {
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("serve ended with %v, want status 0", err)
		}
	case <-time.After(guardTime):
		kill()
		t.Errorf("serve did not end on SIGTERM: %v", <-done)
	}
}

// logWatch keeps what serve logs and sees the address go by.
type logWatch struct {
	mu      sync.Mutex
	text    bytes.Buffer
	found   bool
	address chan string
}

var listening = regexp.MustCompile(`msg=listening address=(\S+).*\n`)

func (l *logWatch) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if m := listening.FindSubmatch(l.text.Bytes()); m != nil && !l.found {
		l.found = true
		l.address <- string(m[1])
	}
	return len(b), nil
}

func (l *logWatch) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logWatch) wait(t *testing.T, done chan error) string {
	t.Helper()
	select {
	case a := <-l.address:
		return a
	case err := <-done:
		done <- errors.New("ended before")
		t.Fatalf("serve ended at once: %v", err)
	case <-time.After(guardTime):
		t.Fatal("serve does not listen")
	}
	return ""
}

// check looks for secrets in the log and shows it if the test failed.
func (l *logWatch) check(t *testing.T, secrets []string) {
	text := l.String()
	for _, s := range secrets {
		if s == "" || strings.Contains(text, s) {
			t.Errorf("the log has the secret %q", s)
		}
	}
	if t.Failed() {
		t.Logf("serve's log:\n%s", text)
	}
}

// url is the proxy as clients without a credential name it.
func (p *serving) url() string { return "http://" + p.address }

// root is the CA's certificate, bundle the same with the system's.
func (p *serving) root() string   { return filepath.Join(p.home, "ca", "ca.pem") }
func (p *serving) bundle() string { return filepath.Join(p.home, "ca", "bundle.pem") }

// credential is what admits a client that is not the same user.
func (p *serving) credential(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.home, "credential"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
