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
	"slices"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// signingKey is a key that tokens are signed with, and the certificate it is
// published in.
type signingKey struct {
	tenant  string // that alone publishes it and signs with it; "": all do
	private *rsa.PrivateKey
	id      string // kid, which with Entra is the certificate's SHA-1
	cert    []byte
}

// keyRing holds the keys that are published; the last one of a tenant's signs.
type keyRing struct {
	mu   sync.Mutex
	keys []signingKey
}

// RotateKey makes a new signing key. The old ones stay published, and tokens
// signed with them valid, until RetireKeys.
func (a *Authority) RotateKey() error { return a.keys.rotate("") }

// RotateTenantKey is RotateKey for a key that one tenant alone publishes and
// signs with.
func (a *Authority) RotateTenantKey(tenant string) error {
	if !a.hasTenant(tenant) {
		return fmt.Errorf("simulated authority: no tenant %s", tenant)
	}
	return a.keys.rotate(strings.ToLower(tenant))
}

// KeyID returns the id of the key that signs tenant's tokens; "" means the first
// tenant's.
func (a *Authority) KeyID(tenant string) string { return a.signingKey(tenant).id }

func (a *Authority) signingKey(tenant string) signingKey {
	return a.keys.current(strings.ToLower(orDefault(tenant, a.tenants[0])))
}

// RetireKeys withdraws every key with which no tenant signs any more.
func (a *Authority) RetireKeys() {
	signing := make(map[string]bool)
	for _, tenant := range a.tenants {
		signing[a.keys.current(tenant).id] = true
	}
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	a.keys.keys = slices.DeleteFunc(a.keys.keys, func(k signingKey) bool { return !signing[k.id] })
}

func (k *keyRing) rotate(tenant string) error {
	key, err := newSigningKey()
	if err != nil {
		return fmt.Errorf("simulated authority: signing key: %w", err)
	}
	key.tenant = tenant
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

// of returns the keys that tenant publishes, the one that signs last.
func (k *keyRing) of(tenant string) (keys []signingKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if key.tenant == "" || key.tenant == tenant {
			keys = append(keys, key)
		}
	}
	return keys
}

// sign returns s as a compact JWS, of which it is all but the signature.
func (k signingKey) sign(s string) (string, error) {
	signature, err := jwt.SigningMethodRS256.Sign(s, k.private)
	if err != nil {
		return "", fmt.Errorf("simulated authority: %w", err)
	}
	return s + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// current returns the key that signs for tenant.
func (k *keyRing) current(tenant string) signingKey {
	keys := k.of(tenant)
	return keys[len(keys)-1]
}

// public returns the key with that id that tenant publishes, or nil.
func (k *keyRing) public(tenant, id string) crypto.PublicKey {
	for _, key := range k.of(tenant) {
		if key.id == id {
			return key.private.Public()
		}
	}
	return nil
}

// document returns the keys that tenant publishes as a JSON Web Key Set (RFC 7517).
func (k *keyRing) document(tenant, issuer string) map[string]any {
	keys := k.of(tenant)
	set := make([]map[string]any, 0, len(keys))
	for _, key := range keys {
		set = append(set, map[string]any{
			"kty": "RSA", "use": "sig", "kid": key.id, "x5t": key.id, "issuer": issuer,
			"n":   base64.RawURLEncoding.EncodeToString(key.private.N.Bytes()),
			"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.private.E)).Bytes()),
			"x5c": []string{base64.StdEncoding.EncodeToString(key.cert)},
		})
	}
	return map[string]any{"keys": set}
}
