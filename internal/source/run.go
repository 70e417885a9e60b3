package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// linger is how long a program that has ended may leave its output open, in
// the hands of a process of its own.
const linger = time.Second

// run is one run of a program. There is no shell, standard input is empty, and
// the program has a process group of its own, which is killed whole when the
// context ends or when it prints more than 64 KiB.
type run struct {
	argv   []string // argv[0] is a path, or is looked up in PATH
	env    []string
	dir    string // "" is the process's own
	linger time.Duration

	// watch sees what is kept of standard error whenever that grows, from
	// another goroutine but never after do has returned; nil does not.
	watch func(stderr []byte)

	// sweep kills what the program has left behind when it ended.
	sweep bool
}

var errTooLong = fmt.Errorf("printed more than %d bytes", maxToken)

// do returns what the program printed, on standard error the first 64 KiB. The
// error is the context's cause if that ended first.
func (r run) do(ctx context.Context) (stdout, stderr []byte, err error) {
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &capped{full: func() { cancel(errTooLong) }}
	diag := &capped{full: func() {}, grown: r.watch} // a chatty program is no failure

	cmd := exec.Command(r.argv[0], r.argv[1:]...) // #nosec G204 -- the user's tools and token_command, there is no shell
	cmd.Env, cmd.Dir = r.env, r.dir
	cmd.Stdout, cmd.Stderr = out, diag
	cmd.WaitDelay = r.linger
	group, err := newGroup(cmd)
	if err != nil {
		return nil, nil, err
	}
	defer group.close()
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	group.started()

	// Not exec.CommandContext: that one stops looking at the context once the
	// program has ended, though others may still hold its output.
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		group.kill()
	})
	err = cmd.Wait()
	if !stop() {
		<-killed
		return nil, nil, context.Cause(ctx)
	}
	if r.sweep {
		group.kill()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and something it started lives on
	}
	return out.b.Bytes(), diag.b.Bytes(), err
}

// capped keeps the first maxToken bytes and calls full once there are more.
// It takes all the rest too: to a program that prints on, a closed pipe would
// be another failure than the one to report.
type capped struct {
	b     bytes.Buffer
	full  func()
	grown func([]byte) // nil for nobody
}

func (c *capped) Write(p []byte) (int, error) {
	kept := p
	if room := maxToken - c.b.Len(); room < len(p) {
		kept = p[:room]
		c.full()
	}
	c.b.Write(kept)
	if c.grown != nil && len(kept) > 0 {
		c.grown(c.b.Bytes())
	}
	return len(p), nil
}

// environ is os.Environ, except while azidentity reads a variable that is not
// the user's.
func environ() []string {
	environment.Lock()
	defer environment.Unlock()
	return os.Environ()
}
