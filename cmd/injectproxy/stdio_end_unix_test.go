//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// However a client ends its server, the session is ended, once, and the status
// is 0.
func TestStdioEndsWell(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *piped){
		"end of input":           func(p *piped) { p.in.Close() },
		"SIGTERM":                func(p *piped) { p.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGINT":                 func(p *piped) { p.cmd.Process.Signal(syscall.SIGINT) },
		"SIGHUP":                 func(p *piped) { p.cmd.Process.Signal(syscall.SIGHUP) },
		"the same signal, twice": func(p *piped) { p.cmd.Process.Signal(syscall.SIGTERM); p.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRemote(t, tokenA)
			p := startStdio(t, m.ruled(t, ""), nil, m.url)
			p.begin()
			p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hang"}}`)
			m.log.wait(t, "POST tools/call")
			end(p)
			if status := p.wait(); status != 0 {
				t.Errorf("exit status %d:\n%s", status, p.stderr.String())
			}
			m.ended(t)
		})
	}
}

// A client that has closed its end of our output is gone: that is an error of
// writing, and the session is ended as well. So it is where it reads nothing of
// standard error any more, either.
func TestStdioEndsWhenItsOutputIsClosed(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"output alone": false, "both": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRemote(t, tokenA)
			p := &piped{t: t}
			ctx, cancel := context.WithTimeout(t.Context(), guard)
			defer cancel()
			p.cmd = command(t, ctx, m.ruled(t, ""), nil, "stdio", m.url)
			p.cmd.Stderr = &p.stderr
			out, err := p.cmd.StdoutPipe()
			must(t, err)
			if deaf {
				p.cmd.Stderr = nil
				said, err := p.cmd.StderrPipe()
				must(t, err)
				said.Close()
			}
			p.in, err = p.cmd.StdinPipe()
			must(t, err)
			must(t, p.cmd.Start())
			p.say(beginning)
			if _, err := io.ReadAtLeast(out, make([]byte, 100), 1); err != nil {
				t.Error(err)
			}
			out.Close()
			p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`)
			p.cmd.Wait()
			if status := p.cmd.ProcessState.ExitCode(); status != exitFailed || !deaf && lineWith(p.stderr.String(), "error: the client cannot be spoken to: ") == "" {
				t.Errorf("%s:\n%s", p.cmd.ProcessState, p.stderr.String())
			}
			m.ended(t)
		})
	}
}

// The parent is killed, and cannot close anything; another process has the other
// end of our input all the while.
func TestStdioEndsWithItsParent(t *testing.T) {
	t.Parallel()
	m := newRemote(t, tokenA)
	input, client, err := os.Pipe()
	must(t, err)
	defer client.Close() // held until the end
	defer input.Close()
	p := &piped{t: t, in: client}
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	inner := command(t, ctx, m.ruled(t, ""), nil, "stdio", m.url)
	program := filepath.Join(t.TempDir(), "injectproxy") // the shell gives it no other name
	must(t, os.Symlink(inner.Path, program))
	p.cmd = exec.CommandContext(ctx, "sh", "-c", `exec 3<&0; "$0" "$@" <&3 3<&- & wait`, program, "stdio", m.url)
	p.cmd.Env, p.cmd.WaitDelay = inner.Env, guard
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = input, &p.stdout, &p.stderr
	must(t, p.cmd.Start())
	p.begin()
	must(t, p.cmd.Process.Kill())
	if err := p.cmd.Wait(); errors.Is(err, exec.ErrWaitDelay) { // for who has its output: the child
		t.Error("it is still there")
	}
	m.ended(t)
}
