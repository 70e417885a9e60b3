package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// runs is how often a command is run in one round.
const runs = 10

// commands is the contest of how long a command takes: by itself, and with a
// proxy of its own.
type commands struct {
	rig  *rig
	home string
}

func newCommands(_ context.Context, r *rig) (*commands, error) {
	home, err := os.MkdirTemp(r.dir, "home-")
	if err != nil {
		return nil, err
	}
	c := &commands{rig: r, home: home}
	return c, r.configure(home, "127.0.0.1:0", work{})
}

func (c *commands) names() []string {
	if c.rig.bin == "" {
		return []string{"true"}
	}
	return []string{"true", injectproxy}
}

func (c *commands) measure(ctx context.Context, name string, _ int) result {
	args := []string{"true"}
	if name == injectproxy {
		args = []string{c.rig.bin, "exec", "--", "true"}
	}
	var took []float64
	for range runs {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(c.rig.environ[:len(c.rig.environ):len(c.rig.environ)], "INJECTPROXY_HOME="+c.home)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return result{err: fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, out)}
		}
		took = append(took, nanoseconds(time.Since(began)))
	}
	m, _ := median(took)
	return result{n: runs, figures: map[string]float64{timeToRun: m}}
}

func (c *commands) close() {}
