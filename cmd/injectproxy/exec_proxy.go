package main

import (
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/clientenv"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// privateProxy is a proxy that one command uses. It ends with close.
type privateProxy struct {
	environment clientenv.Environment // for the command

	dir    string // of the public files that the command trusts
	in     *instance
	closed atomic.Bool
	served chan struct{} // closed once nothing is served any more
}

// startPrivateProxy starts a proxy for the rules of cfg, which ends the audit
// file, if there is one, when it ends itself. On error nothing is left of either.
func startPrivateProxy(cfg *config.Config, log *slog.Logger, audit *telemetry.Audit) (_ *privateProxy, err error) {
	defer func() {
		if err != nil {
			audit.Close(settleMost)
		}
	}()
	// The CA is as narrow as the rules: ca.permit is for one that outlives them.
	permit, err := ca.ParsePermit((&config.Config{Rules: cfg.Rules}).Permitted())
	if err != nil {
		return nil, err
	}
	authority, err := ca.Ephemeral(permit, nil)
	if err != nil {
		return nil, err
	}
	p := &privateProxy{served: make(chan struct{})}
	files, err := p.writeFiles(cfg, authority)
	defer func() {
		if err != nil {
			os.RemoveAll(p.dir)
		}
	}()
	if err != nil {
		return nil, err
	}
	credential := access.Generate()
	policy, err := access.New("credential", credential)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, listenError(cfg.Listen, err)
	}
	around := surroundings{
		authority: authority, access: policy, listeners: []net.Addr{l.Addr()}, log: log,
		audit:  audit,
		bundle: files.BundleFile, notify: notifier(os.Stderr),
	}
	if home, err := config.Home(); err == nil { // without one, sign-ins are forgotten at the end
		around.sessions = sessionsDir(home)
	}
	if p.in, err = build(cfg, around); err != nil {
		l.Close()
		return nil, err
	}
	go p.serve(l, log)
	files.Proxy = &url.URL{Scheme: "http", User: url.UserPassword("injectproxy", credential.Reveal()), Host: l.Addr().String()}
	files.Authorities, files.Environ = authoritiesOf(cfg), os.Environ()
	p.environment = clientenv.For(files)
	return p, nil
}

// writeFiles writes what clients trust into a directory that only this user can
// enter: the root alone, all roots, and the same for Java.
func (p *privateProxy) writeFiles(cfg *config.Config, authority *ca.Authority) (files clientenv.Settings, err error) {
	if p.dir, err = os.MkdirTemp("", "injectproxy-exec-"); err != nil {
		return files, err
	}
	files.RootFile, files.BundleFile = filepath.Join(p.dir, "ca.pem"), filepath.Join(p.dir, "bundle.pem")
	files.TrustStore = filepath.Join(p.dir, "truststore.jks")
	bundle, err := ca.Bundle(authority.RootPEM(), withCertificates(slices.Concat(cfg.Upstream.CA, clientenv.Roots(os.Environ()))))
	if err != nil {
		return files, err
	}
	store, err := clientenv.TrustStore(bundle)
	// They last as long as the command, and need not survive a crash.
	return files, errors.Join(
		err,
		os.WriteFile(files.RootFile, authority.RootPEM(), 0o600),
		os.WriteFile(files.BundleFile, bundle, 0o600),
		os.WriteFile(files.TrustStore, store, 0o600),
	)
}

func (p *privateProxy) serve(l net.Listener, log *slog.Logger) {
	defer close(p.served)
	if err := p.in.Serve(l); !p.closed.Load() {
		logEnd(log, err)
	}
}

// close ends the proxy and removes the files that were its own.
func (p *privateProxy) close() {
	p.closed.Store(true)
	p.in.Shutdown(canceled())
	p.in.close()
	<-p.served
	os.RemoveAll(p.dir)
	p.in.around.settle(settleMost)
}
