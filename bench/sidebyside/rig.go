package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/injectproxy/injectproxy/bench/rival"
)

// A rig is what all measurements of a run share: a directory, an upstream that
// runs in it, and the program under test.
type rig struct {
	options
	dir      string
	environ  []string // of everything that is started
	self     string   // this program, for those peers that are part of it
	upstream string   // host:port
	files    uint64   // that a process may have open
	running  *process // the upstream
}

// newRig starts the upstream. The rig ends with close.
func newRig(ctx context.Context, o options) (r *rig, err error) {
	r = &rig{options: o, environ: withoutProxies(os.Environ())}
	if r.files, err = descriptors(); err != nil {
		return nil, err
	}
	if r.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", "sidebyside-"); err != nil {
		return nil, err
	}
	if err = r.startUpstream(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) startUpstream(ctx context.Context) error {
	// Others than this user read what is in the directory: squid gives up root.
	if err := os.Chmod(r.dir, 0o711); err != nil {
		return err
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	// Each of the hosts of newhost is an address of its own.
	if r.running, err = launch(r.dir, r.environ, r.self, "upstream", r.dir, "0.0.0.0:"+port); err != nil {
		return err
	}
	r.upstream = "localhost:" + port
	return r.running.listening(ctx, addr)
}

func (r *rig) close() {
	if r.running != nil {
		r.running.stop()
	}
	os.RemoveAll(r.dir)
}

// file names a file of the run.
func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

// subcommand runs the parts of this program that are processes of their own. It
// reports whether args name one.
func subcommand(args []string) (bool, error) {
	if len(args) != 3 {
		return false, nil
	}
	switch dir, addr := args[1], args[2]; args[0] {
	case "upstream":
		return true, serveUpstream(dir, addr)
	case "goproxy":
		return true, serveRival(dir, addr)
	}
	return false, nil
}

// rivalCA is the file of what goproxy's leaves are trusted by.
const rivalCA = "goproxy-ca.pem"

// serveRival serves goproxy's interception. It returns with an error only.
func serveRival(dir, addr string) error {
	a, err := newAuthority("goproxy of a measurement")
	if err != nil {
		return err
	}
	if err := a.write(filepath.Join(dir, rivalCA)); err != nil {
		return err
	}
	roots, err := readRoots(filepath.Join(dir, upstreamCA))
	if err != nil {
		return err
	}
	ca := &tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
	return fmt.Errorf("goproxy: %w", http.ListenAndServe(addr, rival.New(ca, roots, "Bearer injected")))
}
