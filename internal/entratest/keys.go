package entratest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- RFC 7515, section 4.1.7: x5t
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync"
)

// signingKey is a key that tokens are signed with, and the certificate it is
// published in.
type signingKey struct {
	private *rsa.PrivateKey
	id      string // kid, which with Entra is the certificate's SHA-1
	cert    []byte
}

// keyRing holds the keys that are published; the last one signs.
type keyRing struct {
	mu   sync.Mutex
	keys []signingKey
}

// RotateKey makes a new signing key. The old ones stay published, and tokens
// signed with them valid, until RetireKeys.
func (a *Authority) RotateKey() error { return a.keys.rotate() }

// RetireKeys withdraws every key but the one that signs.
func (a *Authority) RetireKeys() {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	a.keys.keys = a.keys.keys[len(a.keys.keys)-1:]
}

func (k *keyRing) rotate() error {
	key, err := newSigningKey()
	if err != nil {
		return fmt.Errorf("simulated authority: signing key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, key)
	return nil
}

func newSigningKey() (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signingKey{}, err
	}
	template := certificateTemplate("accounts.accesscontrol.windows.net")
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return signingKey{}, err
	}
	sum := sha1.Sum(cert) // #nosec G401 -- a name, no proof
	return signingKey{private: private, id: base64.RawURLEncoding.EncodeToString(sum[:]), cert: cert}, nil
}

// current returns the key that signs.
func (k *keyRing) current() signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[len(k.keys)-1]
}

// public returns the published key with that id, or nil.
func (k *keyRing) public(id string) crypto.PublicKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if key.id == id {
			return key.private.Public()
		}
	}
	return nil
}

// document returns the published keys as a JSON Web Key Set (RFC 7517).
func (k *keyRing) document(issuer string) map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	set := make([]map[string]any, 0, len(k.keys))
	for _, key := range k.keys {
		set = append(set, map[string]any{
			"kty": "RSA", "use": "sig", "kid": key.id, "x5t": key.id, "issuer": issuer,
			"n":   base64.RawURLEncoding.EncodeToString(key.private.N.Bytes()),
			"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.private.E)).Bytes()),
			"x5c": []string{base64.StdEncoding.EncodeToString(key.cert)},
		})
	}
	return map[string]any{"keys": set}
}
