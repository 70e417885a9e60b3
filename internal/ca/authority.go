// Package ca is the certificate authority behind interception: a root that
// clients trust, one intermediate that may sign for the permitted hosts and
// nothing else, and short-lived leaves.
//
// It refuses to exist without a permitted host, to replace what it finds on
// disk but cannot use, and to sign outside its constraints, which every
// verifier holds it to as well: they are name constraints (RFC 5280, 4.2.1.10)
// on the intermediate. The root's key lives only while the CA is made.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Authority signs leaves for the hosts that its certificate permits. It comes
// from [Ensure], [Open] or [Ephemeral]; the zero Authority is not usable. Its
// methods may be called concurrently.
type Authority struct {
	chain
	permit Permit
	dir    string // "" if it is in memory only
	behind bool   // ca.pem is still the one from before a switch
	now    func() time.Time

	// leafKey serves every leaf of this process and never leaves its memory.
	leafKey *ecdsa.PrivateKey
	mint    *mint

	mu     sync.Mutex
	leaves map[string]*leafSlot // by canonical host
}

// newAuthority checks c as a verifier would and makes it ready to sign.
func newAuthority(c chain, dir string, now func() time.Time) (*Authority, error) {
	permit, err := c.check()
	if err != nil {
		return nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	mint, err := newMint(c, leafKey)
	if err != nil {
		return nil, err
	}
	a := &Authority{
		chain:   c,
		permit:  permit,
		dir:     dir,
		now:     now,
		leafKey: leafKey,
		mint:    mint,
		leaves:  make(map[string]*leafSlot),
	}
	if err := a.alive(now()); err != nil {
		return nil, err
	}
	return a, nil
}

// Ephemeral returns a CA for permit that is never written to disk: its keys
// end with the process. A nil now means [time.Now].
func Ephemeral(permit Permit, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	c, err := generate(permit, now())
	if err != nil {
		return nil, err
	}
	return newAuthority(c, "", now)
}

// Permit returns what the CA may sign for. It is read from the certificate,
// so it may be less or more than the configuration now asks for.
func (a *Authority) Permit() Permit {
	return Permit{DNS: slices.Clone(a.permit.DNS), IPs: slices.Clone(a.permit.IPs)}
}

// Check returns nil if the CA may sign for host, and otherwise an [*Error]
// that says so and names the remedy. It does not look at the clock.
func (a *Authority) Check(host string) error {
	if a.permit.Allows(host) {
		return nil
	}
	return &Error{
		Path:   a.RootFile(),
		Reason: "the CA may sign for " + a.permit.String() + ", not for " + printable(host),
		Hint:   a.remedy(host),
	}
}

// remedy is what to do about a host that the CA may not sign for.
func (a *Authority) remedy(host string) string {
	if a.dir == "" {
		return "add the host to what the CA permits"
	}
	if next, err := Next(a.dir, a.now); err == nil && next.permit.Allows(host) {
		return finishHint
	}
	return rotateHint
}

// Root returns the certificate that clients have to trust. It is shared: do
// not change it.
func (a *Authority) Root() *x509.Certificate { return a.root }

// RootPEM returns the certificate that clients have to trust, in PEM.
func (a *Authority) RootPEM() []byte { return certificatePEM(a.root) }

// TrustPEM returns what clients have to trust to get along with this CA and,
// while a rotation is under way, with the next one too: their roots, in PEM.
func (a *Authority) TrustPEM() []byte {
	pem := a.RootPEM()
	if a.dir == "" {
		return pem
	}
	if next, err := Next(a.dir, a.now); err == nil {
		pem = append(pem, next.RootPEM()...)
	}
	return pem
}

// RootFile returns the file that holds [Authority.RootPEM], "" for an
// ephemeral CA.
func (a *Authority) RootFile() string {
	switch {
	case a.dir == "":
		return ""
	case a.behind:
		return filepath.Join(a.dir, nextDir, rootFile)
	}
	return filepath.Join(a.dir, rootFile)
}

// Fingerprint returns that of the root.
func (a *Authority) Fingerprint() string { return Fingerprint(a.root) }

// Fingerprint returns the SHA-256 of a certificate as trust stores show it:
// upper-case hex bytes with colons between them.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	pairs := make([]string, len(sum))
	for i := range sum {
		pairs[i] = hex.EncodeToString(sum[i : i+1])
	}
	return strings.ToUpper(strings.Join(pairs, ":"))
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
