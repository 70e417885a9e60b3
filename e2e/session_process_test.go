package e2e_test

import (
	"context"
	"io"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// startEverything starts the reference server on loopback and returns where it
// listens, and what kills it.
func startEverything(t *testing.T, n node, transport string) (address string, kill func()) {
	t.Helper()
	main := filepath.Join(n.modules, "@modelcontextprotocol", "server-everything", "dist", "index.js")
	loopback, err := filepath.Abs("testdata/loopback.cjs")
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	ended, kill := client{}.daemon(t, &addressWatch{found: found}, n.program, "--require", loopback, main, transport)
	select {
	case address = <-found:
	case <-ended:
		t.Fatal("server-everything ended at once")
	case <-time.After(guardTime):
		kill()
		t.Fatal("server-everything does not listen")
	}
	return address, kill
}

// addressWatch sees the address go by in what the reference server writes.
type addressWatch struct {
	text  []byte
	found chan string
}

var loopbackAddress = regexp.MustCompile(`(?m)^loopback (\S+)\n`)

func (a *addressWatch) Write(b []byte) (int, error) {
	if a.found == nil {
		return len(b), nil
	}
	a.text = append(a.text, b...)
	if m := loopbackAddress.FindSubmatch(a.text); m != nil {
		a.found <- string(m[1])
		a.found, a.text = nil, nil
	}
	return len(b), nil
}

// daemon starts a program that runs until it is killed.
func (c client) daemon(t *testing.T, stdout io.Writer, program string, args ...string) (ended <-chan struct{}, kill func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := c.command(ctx, program, args...)
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	return done, func() {
		cancel()
		<-done
	}
}
