package source

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
)

// ToolOptions say where [NewTools] finds the command line tools of Azure, and
// what they see.
type ToolOptions struct {
	// AzPath is the az to run; "" looks for it as for the others.
	AzPath string

	// Env is the environment of the tools, and has the PATH they are looked up
	// in: what [ToolEnvironment] returns. Nil makes it of the process's own.
	Env []string

	// Dirs are searched after PATH. Nil means where installers put the tools; an
	// empty slice that is not nil, nowhere.
	Dirs []string
}

// Tools runs az, azd and PowerShell for all audiences of a program. It is safe
// for concurrent use, and has nothing to close: no run outlives its call.
//
// The tools are looked up at each run, as somebody may install one meanwhile.
// Runs of one tool for one tenant come one after the other, so that many
// audiences do not start as many interpreters at once over the same cache;
// tenants do not wait for each other.
type Tools struct {
	azPath string
	env    []string
	dirs   []string
	dir    string // where they run

	defaults defaults // of az

	mu    sync.Mutex
	turns map[string]chan struct{} // by tool and tenant
}

// NewTools returns the tools that o describes. It looks for none of them yet.
func NewTools(o ToolOptions) *Tools {
	t := &Tools{azPath: o.AzPath, env: slices.Clone(o.Env), dirs: slices.Clone(o.Dirs), turns: make(map[string]chan struct{})}
	if o.Env == nil {
		t.env = ToolEnvironment(environ())
	}
	if o.Dirs == nil {
		t.dirs = usualDirs(runtime.GOOS, t.env)
	}
	if t.azPath != "" {
		if abs, err := filepath.Abs(t.azPath); err == nil {
			t.azPath = abs // they run elsewhere
		}
	}
	t.dir = neutralDir(t.env)
	return t
}

// neutralDir is where the tools run. Python may import from the current
// directory, and azd reads a project in it: neither is any of theirs here.
func neutralDir(env []string) string {
	if runtime.GOOS == "windows" {
		if root, _ := variable(env, "SystemRoot"); root != "" {
			return root
		}
		return filepath.VolumeName(os.TempDir()) + `\`
	}
	return "/"
}

// turn waits until nobody else has the turn named key, and returns what gives
// it up. The error is the context's.
func (t *Tools) turn(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	c := t.turns[key]
	if c == nil {
		c = make(chan struct{}, 1)
		t.turns[key] = c
	}
	t.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
