package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

// examineCA looks at the CA on the disk: that it can be used, may sign for
// every rule, and does not end soon.
func (d *doctor) examineCA() []finding {
	dir := caDir(d.home)
	authority, problems := ownCA(d.cfg)
	d.authority = authority
	var findings []finding
	for _, p := range problems {
		findings = append(findings, problemFinding("ca", p))
	}
	if authority == nil && len(problems) == 0 && len(d.cfg.Permitted()) == 0 {
		return nil // there is nothing to sign for
	}
	if authority == nil && len(problems) == 0 {
		return []finding{{"ca", stateWarn, dir, "there is none yet: serve makes it when it starts", "injectproxy serve"}}
	}
	if authority == nil {
		return findings
	}
	findings = append(findings, rotation(dir, authority)...)
	if len(findings) == 0 {
		findings = []finding{{"ca", stateOK, authority.RootFile(),
			fmt.Sprintf("signs for %s until %s", authority.Permit(), authority.Root().NotAfter.Format(time.DateOnly)), ""}}
	}
	return findings
}

// rotation says what a rotation that is due or under way asks for.
func rotation(dir string, authority *ca.Authority) []finding {
	next, err := ca.Next(dir, nil)
	switch {
	case err == nil:
		return []finding{{"ca", stateWarn, next.RootFile(), "follows the one in use with rotate --finish, and clients have to trust it by then: SHA-256 " + next.Fingerprint(), "injectproxy ca install"}}
	case !errors.Is(err, fs.ErrNotExist):
		return []finding{problemFinding("ca", caProblem(config.Position{File: dir}, "", err))}
	case authority.EndsSoon():
		return []finding{{"ca", stateWarn, authority.RootFile(), "ends on " + authority.Root().NotAfter.Format(time.DateOnly), "injectproxy ca rotate"}}
	}
	return nil
}

// examineServe sees whether a serve runs, and whether it is ours and has the CA
// that clients are told to trust.
func (d *doctor) examineServe(ctx context.Context) []finding {
	address, err := reachable(d.cfg.Listen)
	if err != nil {
		return []finding{{"serve", stateWarn, d.cfg.Listen, "the configuration names no port, so serve cannot be looked for", "name the address that serve logged with --listen"}}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return []finding{{"serve", stateWarn, address, "no serve answers", "injectproxy serve"}}
	}
	conn.Close()
	if d.authority == nil {
		return nil // what is wrong has been said of the CA
	}
	if _, err = findServe(ctx, d.cfg, d.home, d.authority); err != nil {
		return []finding{failureFinding("serve", address, err)}
	}
	if findings := d.examineDistrust(ctx, address); findings != nil {
		return findings
	}
	return []finding{{"serve", stateOK, address, "runs, and shows the CA on the disk", ""}}
}

// failureFinding is an error of the program as a finding.
func failureFinding(check, subject string, err error) finding {
	f := finding{Check: check, Status: stateFail, Subject: subject, Detail: err.Error()}
	if e, ok := errors.AsType[*failure](err); ok {
		f.Remedy = e.hint
	}
	return f
}
