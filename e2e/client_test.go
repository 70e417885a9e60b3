package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// environment is this process's, without what would change how a client
// reaches or trusts a server.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(kv), "=")
		if !steers.MatchString(name) {
			env = append(env, kv)
		}
	}
	return env
}

var steers = regexp.MustCompile(`_PROXY$|^(SSL_|CURL_|GIT_|NODE_|NPM_|JAVA_|JDK_|AZURE_|MSI_|IDENTITY_|INJECTPROXY_|GODEBUG)`)

// client is a program that runs as somebody's client of the proxy would.
type client struct {
	dir string
	env []string
}

// run runs a program to its end and returns what it wrote. It must succeed.
func (c client) run(t *testing.T, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := c.try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", filepath.Base(name), args, err, stdout, stderr)
	}
	return stdout, stderr
}

// try runs a program to its end and returns what it wrote and how it ended.
func (c client) try(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), guardTime)
	defer cancel()
	cmd := c.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (c client) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = c.dir, append(environment(), c.env...)
	cmd.WaitDelay = 5 * time.Second
	ownGroup(cmd)
	return cmd
}

// lines starts a program and returns the lines of its stdout as they come,
// and a function that waits for its end, which must be a good one.
func (c client) lines(t *testing.T, name string, args ...string) (lines <-chan string, wait func()) {
	t.Helper()
	var errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), guardTime)
	cmd := c.command(ctx, name, args...)
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch, ended := make(chan string), make(chan error, 1)
	go func() {
		defer cancel()
		defer close(ch)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case ch <- s.Text():
			case <-ctx.Done():
			}
		}
		ended <- cmd.Wait()
	}()
	wait = sync.OnceFunc(func() {
		if err := <-ended; err != nil {
			t.Errorf("%s %q: %v\n%s", filepath.Base(name), args, err, errs.Bytes())
		}
	})
	return ch, wait
}
