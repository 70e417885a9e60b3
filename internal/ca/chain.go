package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"time"
)

const (
	// years is how long a CA lives, its root and intermediate alike.
	years = 2

	// skew is how far back certificates begin, for clients whose clock is
	// behind.
	skew = time.Hour
)

// chain is the CA without its root's key.
type chain struct {
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // of intermediate
}

// generate makes a root, has it sign one intermediate, and forgets the root's
// key: it is overwritten, and reachable from nothing once generate returns.
//
// Root and intermediate carry the same constraints. The intermediate's are the
// ones that hold everywhere, as Java ignores those of a trusted root. The
// root's cost nothing and let whoever is asked to trust ca.pem read there what
// it is good for, instead of having to believe that its key is gone.
func generate(permit Permit, now time.Time) (chain, error) {
	if err := permit.check(); err != nil {
		return chain{}, err
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return chain{}, err
	}
	return signedOnce(rootKey, permit, now)
}

// signedOnce returns what a root of that key and its one intermediate are. The
// key is overwritten.
func signedOnce(rootKey *ecdsa.PrivateKey, permit Permit, now time.Time) (chain, error) {
	defer forget(rootKey)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return chain{}, err
	}
	rootTemplate := authorityTemplate("root", &rootKey.PublicKey, permit, now)
	rootTemplate.MaxPathLen = 1
	root, err := sign(rootTemplate, rootTemplate, &rootKey.PublicKey, rootKey)
	if err != nil {
		return chain{}, err
	}
	template := authorityTemplate("intermediate", &key.PublicKey, permit, now)
	template.MaxPathLenZero = true
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	intermediate, err := sign(template, root, &key.PublicKey, rootKey)
	if err != nil {
		return chain{}, err
	}
	return chain{root: root, intermediate: intermediate, key: key}, nil
}

// forget overwrites a key that is not needed any more. The standard library may
// have a copy of its own until the next collection, which nothing here reaches.
func forget(key *ecdsa.PrivateKey) {
	//lint:ignore SA1019 it is overwritten, not computed with
	clear(key.D.Bits())
}

// authorityTemplate names each CA after its key: verifiers that look issuers
// up by name alone must not confuse two of them.
func authorityTemplate(role string, pub *ecdsa.PublicKey, permit Permit, now time.Time) *x509.Certificate {
	id := keyID(pub)
	t := &x509.Certificate{
		Subject: pkix.Name{
			Organization: []string{"injectproxy"},
			CommonName:   "injectproxy " + role + " " + hex.EncodeToString(id[:4]),
		},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.AddDate(years, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
		SubjectKeyId:          id,
	}
	permit.constrain(t)
	return t
}

// sign leaves the serial number to x509, which takes it from at least 128 random
// bits.
func sign(template, parent *x509.Certificate, pub *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// keyID identifies a key as RFC 7093, section 2, method 1 does.
func keyID(pub *ecdsa.PublicKey) []byte {
	point, err := pub.Bytes()
	if err != nil {
		panic("ca: a key that was just made is not on its curve: " + err.Error())
	}
	sum := sha256.Sum256(point)
	return sum[:20]
}

// check reports what keeps c from being a CA of the kind that generate makes,
// whatever the time, and returns what it permits.
func (c chain) check() (Permit, error) {
	if err := c.root.CheckSignatureFrom(c.root); err != nil {
		return Permit{}, errors.New("the root is not self-signed")
	}
	if err := c.intermediate.CheckSignatureFrom(c.root); err != nil {
		return Permit{}, errors.New("the root is not the issuer of the intermediate")
	}
	if !c.key.PublicKey.Equal(c.intermediate.PublicKey) {
		return Permit{}, errors.New("the key is not the intermediate's")
	}
	if !c.intermediate.MaxPathLenZero {
		return Permit{}, errors.New("the intermediate could sign further CAs")
	}
	permit, err := permitOf(c.intermediate)
	if err != nil {
		return Permit{}, errors.New("the intermediate " + err.Error())
	}
	return permit, nil
}
