package ca

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"sync"
	"time"
)

const (
	// leafLife is how long a leaf is valid at most, leafRenew how long before
	// its end another takes its place.
	leafLife  = 7 * 24 * time.Hour
	leafRenew = 24 * time.Hour

	// maxLeaves bounds the cache. Signing again costs less than a tenth of a
	// millisecond, so which leaf makes room does not matter.
	maxLeaves = 1024
)

// Leaf returns a certificate for host, a DNS name or an IP address without
// brackets or port, and its chain up to the intermediate. A host outside the
// constraints and a CA that has expired are an [*Error]. The certificate is
// shared: do not change it. It serves new handshakes for about a day at
// least; ask again for each.
func (a *Authority) Leaf(host string) (*tls.Certificate, error) {
	if err := a.Check(host); err != nil {
		return nil, err
	}
	name, ip, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	key := name
	if ip.IsValid() {
		key = ip.String()
	}
	now := a.now()
	if err := a.alive(now); err != nil {
		return nil, err
	}
	// One lock for each host: concurrent first handshakes for it share one
	// leaf, and none of another host waits for a signature.
	l := a.slot(key)
	l.Lock()
	defer l.Unlock()
	if l.served != nil && a.fresh(l.served.Leaf, now) {
		return l.served, nil
	}
	l.served, err = a.signLeaf(name, ip, now)
	return l.served, err
}

// leafSlot is where the leaf of one host is kept.
type leafSlot struct {
	sync.Mutex
	served *tls.Certificate // nil before the first
}

// slot returns that of a canonical host.
func (a *Authority) slot(key string) *leafSlot {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l, ok := a.leaves[key]; ok {
		return l
	}
	if len(a.leaves) >= maxLeaves {
		for other := range a.leaves {
			delete(a.leaves, other)
			break
		}
	}
	l := new(leafSlot)
	a.leaves[key] = l
	return l
}

// fresh reports whether c can be served at now. Next to the CA's own end there
// is nothing longer to be had.
func (a *Authority) fresh(c *x509.Certificate, now time.Time) bool {
	if now.Before(c.NotBefore) {
		return false // the clock was set back
	}
	return c.NotAfter.Sub(now) >= leafRenew || c.NotAfter.Equal(a.intermediate.NotAfter)
}

func (a *Authority) signLeaf(name string, ip netip.Addr, now time.Time) (*tls.Certificate, error) {
	leaf, err := a.mint.leaf(name, ip,
		later(now.Add(-skew), a.intermediate.NotBefore),
		earlier(now.Add(leafLife-skew), a.intermediate.NotAfter))
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		Certificate: [][]byte{leaf.Raw, a.intermediate.Raw},
		PrivateKey:  a.leafKey,
		Leaf:        leaf,
	}, nil
}

// alive reports a CA outside its validity at now.
func (a *Authority) alive(now time.Time) error {
	switch begin, end := a.intermediate.NotBefore, a.intermediate.NotAfter; {
	case now.After(end) || now.After(a.root.NotAfter):
		return &Error{
			Path:   a.RootFile(),
			Reason: "the CA expired on " + end.Format(time.DateOnly),
			Hint:   replaceHint,
		}
	case now.Before(begin):
		return &Error{
			Path:   a.RootFile(),
			Reason: "the CA is not valid before " + begin.Format(time.RFC3339),
			Hint:   "set the clock right",
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
