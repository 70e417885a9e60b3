package main

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/clientenv"
	"github.com/injectproxy/injectproxy/internal/config"
)

// openCA opens or makes the CA, and writes the files of clients that replace
// their store. Without a rule or grant there is nothing to sign for, and no CA.
func openCA(cfg *config.Config, home string, log *slog.Logger, environ []string) (*ca.Authority, error) {
	permit, err := ca.ParsePermit(cfg.Permitted())
	if err != nil {
		return nil, err
	}
	if permit.IsZero() {
		log.Warn("there is no rule: everything is tunnelled, and nothing gets a token")
		return nil, nil
	}
	authority, err := ca.Ensure(caDir(home), permit, nil)
	if e, ok := errors.AsType[*ca.Error](err); ok {
		return nil, &failure{status: exitFailed, err: e, hint: e.Hint}
	}
	if err != nil {
		return nil, err
	}
	writeStores(cfg, home, authority, log, environ)
	return authority, nil
}

// writeStores writes the bundle and Java's trust store. Where that fails, as
// with a CA that was put there read-only, serve goes on all the same.
//
// In a shell that env has set up, variables name the bundle itself: the roots
// that it has to keep are in the files that were named before.
func writeStores(cfg *config.Config, home string, authority *ca.Authority, log *slog.Logger, environ []string) {
	before := map[string]string{}
	for _, kv := range clientenv.Before(environ) {
		name, value, _ := strings.Cut(kv, "=")
		before[name] = value
	}
	bundle := bundleFile(home)
	file, err := bundle, ca.WriteBundle(bundle, authority.TrustPEM(), cfg.Upstream.CA, func(name string) string { return before[name] })
	if err == nil {
		file, err = trustStoreFile(home), writeTrustStore(trustStoreFile(home), bundle)
	}
	if err != nil {
		log.Warn("what clients that replace their store trust is not up to date", "file", file, "error", err,
			"hint", "make the directory writable and start injectproxy again")
	}
}

// watchCA watches the files of the CA that serve began with. Where that cannot
// be done, or there is none, nothing is ever received.
func watchCA(a *ca.Authority, log *slog.Logger) (*watcher, <-chan struct{}) {
	if caFile(a) == "" {
		return nil, nil
	}
	w, err := watchFiles(a.RootFile(), []string{filepath.Join(filepath.Dir(a.RootFile()), "*.pem")}, log)
	if err != nil {
		log.Warn("a rotation of the CA goes unseen", "error", err, "hint", "start injectproxy serve again after it")
		return nil, nil
	}
	return w, w.changed
}

// rotated follows the CA in its directory. The files of clients that replace
// their store are written by the settings and environ that serve began with.
func (in *instance) rotated(cfg *config.Config, environ []string) {
	dir := filepath.Dir(in.authority.Load().RootFile())
	if in.followCA(dir) {
		writeStores(cfg, filepath.Dir(dir), in.authority.Load(), in.around.log, environ)
	}
}

// followCA has new connections be signed for by the CA that is in the place of
// the one in use, and reports whether there is another. Connections that are
// open stay as they are. One that cannot be used changes nothing. Like a
// reload, it must not be called concurrently with one.
func (in *instance) followCA(dir string) bool {
	former := in.authority.Load()
	next, err := ca.Open(dir, nil)
	if err != nil {
		in.around.log.Error("the CA on the disk cannot be used, so the one before stays in use", "error", err, "hint", "injectproxy doctor")
		return false
	}
	if former != nil && next.Fingerprint() == former.Fingerprint() {
		return false
	}
	in.authority.Store(next)
	// It may be for other hosts: rules that were off are on, or the reverse.
	if err := in.takeOver(in.config()); err != nil {
		in.authority.Store(former)
		in.around.log.Error("the CA that follows cannot be used, so the one before stays in use", "error", err, "hint", "start injectproxy serve again")
		return false
	}
	in.around.log.Info("the CA that follows is in use", "ca", next.RootFile(), "fingerprint", next.Fingerprint())
	return true
}

// leaf issues a certificate by the CA in use.
func (in *instance) leaf(host string) (*tls.Certificate, error) {
	if a := in.authority.Load(); a != nil {
		return a.Leaf(host)
	}
	return nil, errNoCA
}
