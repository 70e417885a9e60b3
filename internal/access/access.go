// Package access decides who may use the proxy's port. Loopback is no
// boundary: every user of the machine can connect to it, and whoever may use
// the port borrows the tokens behind it. So a connection is admitted because
// the kernel says that the same user holds its other end, or because each
// request shows the credential that lies in a file only that user can read.
//
// The package refuses whatever it cannot tell: a lookup that fails, a peer
// that is not on loopback, a header it does not understand.
package access

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Challenge is the Proxy-Authenticate value that goes with a refusal. Clients
// such as git send their credential only after they have seen it.
const Challenge = `Basic realm="injectproxy", charset="UTF-8"`

// Policy says who is admitted. The zero Policy admits the same user and
// nobody else. A Policy does not change and may be used concurrently.
type Policy struct {
	mode       mode
	credential Credential
	clients    map[string]Client
}

type mode int

const (
	auto mode = iota
	credentialOnly
	open
)

// New returns the policy of the given mode, in the configuration's words:
// "auto" (or "") admits the same user or the credential, "credential" the
// credential alone, "open" everybody. With the zero Credential no credential
// is right.
func New(name string, c Credential) (*Policy, error) {
	switch name {
	case "auto", "":
		return &Policy{mode: auto, credential: c}, nil
	case "credential":
		if c == (Credential{}) {
			return nil, errors.New("access mode credential: there is no credential")
		}
		return &Policy{mode: credentialOnly, credential: c}, nil
	case "open":
		return &Policy{mode: open}, nil
	}
	return nil, fmt.Errorf("access mode %q: want auto, credential or open", name)
}

// Peer is the other end of one accepted connection. It may be used
// concurrently, and holds on to nothing but the connection's addresses.
type Peer struct {
	policy        *Policy
	remote, local net.Addr

	mu     sync.Mutex
	judged bool  // by the kernel, and for good
	why    error // the client is a stranger; nil if it is not
}

// Peer returns the peer of c, a connection that a listener of this process
// accepted. It costs nothing: the kernel is asked when [Peer.Admit] first has
// to know, and once for the life of the connection unless it could not be asked
// for want of a free descriptor.
func (p *Policy) Peer(c net.Conn) *Peer {
	return &Peer{policy: p, remote: c.RemoteAddr(), local: c.LocalAddr()}
}

// Admit returns nil if a request may be served whose Proxy-Authorization
// fields have the given values, and otherwise why not, in words that hold no
// part of those values and may be shown to the client. The answer to a
// refusal is 407 with [Challenge]; one that is EMFILE or ENFILE says nothing of
// the client, who may come again.
func (p *Peer) Admit(proxyAuthorization []string) error {
	_, err := p.Client(proxyAuthorization)
	return err
}

// Client is [Peer.Admit] that also says which named client the request is
// from: "" for whoever else is admitted.
func (p *Peer) Client(proxyAuthorization []string) (name string, err error) {
	if name, err = p.policy.named(proxyAuthorization); name != "" {
		return name, err
	}
	return "", p.admit(proxyAuthorization)
}

func (p *Peer) admit(proxyAuthorization []string) error {
	switch p.policy.mode {
	case open:
		return nil
	case credentialOnly:
		return p.policy.credential.check(proxyAuthorization)
	}
	why := p.stranger()
	if why == nil {
		return nil
	}
	if err := p.policy.credential.check(proxyAuthorization); err != nil {
		return fmt.Errorf("%w, and %w", why, err)
	}
	return nil
}

// stranger is [stranger] of the peer.
func (p *Peer) stranger() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.judged {
		p.why = stranger(p.remote, p.local)
		p.judged = !errors.Is(p.why, syscall.EMFILE) && !errors.Is(p.why, syscall.ENFILE)
	}
	return p.why
}

// nobody is the user that the kernel names for users it cannot express in our
// user namespace. Equal to it means nothing.
const nobody = 65534

// stranger returns why the process at the other end of the connection is not
// known to be ours, or nil if it is.
func stranger(remote, local net.Addr) error {
	client, ok := addrPort(remote)
	if !ok || !client.Addr().IsLoopback() {
		return errors.New("the client is not on loopback")
	}
	server, ok := addrPort(local)
	if !ok {
		return errors.New("the client's user cannot be told")
	}
	uid, err := socketUser(client, server)
	if err != nil {
		return fmt.Errorf("the client's user cannot be told (%w)", err)
	}
	if uid == nobody || int64(uid) != int64(os.Geteuid()) {
		return fmt.Errorf("the client is another user (uid %d)", uid)
	}
	return nil
}

// addrPort returns the TCP address a with an IPv4-mapped address unmapped: a
// dual-stack listener reports IPv4 clients in that form.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
}
