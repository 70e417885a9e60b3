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
	config        string // what its file has at the start
	log           *logWatch
	process       *os.Process
}

// options say how serve runs. Rules is TOML with audiences and rules.
type options struct {
	rules  string
	access string   // mode; auto if empty
	env    []string // besides what every process gets
	trust  []string // files, besides the world's root
	hidden []string // what its log must not have
	admin  string   // where its status is; nowhere if empty
	level  string   // of its log; debug if empty
	keep   int      // bytes of its log, the last ones; 0: all
	drain  string   // what it has to end in; a second if empty
	direct bool     // to the servers, not by the world's upstream proxy
	plain  bool     // built without the race detector, whatever the tests are
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
	if o.plain && raceEnabled {
		program, err = plainBinary()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &serving{home: t.TempDir(), log: newLogWatch(o)}
	if o.access == "" {
		o.access = "auto"
	}
	if o.level == "" {
		o.level = "debug"
	}
	if o.drain == "" {
		o.drain = "1s"
	}
	via := w.via.URL
	if o.direct {
		via = "direct"
	}
	trust := append([]string{w.caFile}, o.trust...)
	p.config = fmt.Sprintf(`
listen         = "127.0.0.1:0"
upstream_proxy = %q
upstream_ca    = ["%s"]
drain          = %q

[admin]
listen = %q

[access]
mode = %q
%s`, via, strings.Join(trust, `", "`), o.drain, o.admin, o.access, o.rules)
	writeFile(t, filepath.Join(p.home, "config.toml"), p.config)

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "serve", "--log-level", o.level)
	cmd.Env = append(environment(), append(o.env, "INJECTPROXY_HOME="+p.home)...)
	ownGroup(cmd)
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	p.process = cmd.Process
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

// logWatch keeps what serve logs and sees its addresses go by.
type logWatch struct {
	mu      sync.Mutex
	text    bytes.Buffer
	keep    int
	awaited map[*regexp.Regexp]chan string // until they have been seen
	address chan string
	status  chan string
}

var (
	listening = regexp.MustCompile(`msg=listening address=(\S+).*\n`)
	showing   = regexp.MustCompile(`msg=status address=(\S+).*\n`)
)

func newLogWatch(o options) *logWatch {
	l := &logWatch{keep: o.keep, address: make(chan string, 1), status: make(chan string, 1)}
	l.awaited = map[*regexp.Regexp]chan string{listening: l.address}
	if o.admin != "" {
		l.awaited[showing] = l.status
	}
	return l
}

func (l *logWatch) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	for sign, c := range l.awaited {
		if m := sign.FindSubmatch(l.text.Bytes()); m != nil {
			c <- string(m[1])
			delete(l.awaited, sign)
		}
	}
	if l.keep > 0 && l.text.Len() > 2*l.keep {
		l.text.Next(l.text.Len() - l.keep)
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
