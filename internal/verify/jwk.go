package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

const (
	maxKeys  = 100 // in one document; Entra publishes some 5 to 10
	maxKeyID = 256 // bytes of a kid

	minRSA, maxRSA = 2048, 8192 // bits
)

var (
	errSecret   = errors.New("its secret part is published")
	errNotOurs  = errors.New("it is another issuer's, or for another use")
	errWeak     = errors.New("it is too weak, or no key at all")
	errUnusable = errors.New("the tenant publishes no key that can be used")
)

// publicKey is a key that a tenant publishes.
type publicKey struct {
	alg    string // the one algorithm that it is used for
	public interface{ Equal(crypto.PublicKey) bool }
}

func (k *publicKey) equal(other *publicKey) bool {
	return other != nil && k.alg == other.alg && k.public.Equal(other.public)
}

// readKeys returns the usable keys of a JSON Web Key Set (RFC 7517) by their id.
// A key that cannot be used, or whose id is not its own, is left out: others may
// be of a kind that is still to come.
func readKeys(data []byte, mine func(issuer string) bool) (map[string]*publicKey, error) {
	document, err := readObject(data)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(document["keys"], &list); err != nil || len(list) > maxKeys {
		return nil, errors.New("the document has no list of at most 100 keys")
	}
	keys, spoilt := make(map[string]*publicKey), make(map[string]bool)
	for _, raw := range list {
		kid, key, err := readKey(raw, mine)
		if errors.Is(err, errSecret) {
			spoilt[kid] = true // whoever else publishes it under that id
		}
		if err != nil {
			continue
		}
		if before, twice := keys[kid]; twice && !before.equal(key) {
			spoilt[kid] = true
		}
		keys[kid] = key
	}
	for kid := range spoilt {
		delete(keys, kid)
	}
	if len(keys) == 0 {
		return nil, errUnusable
	}
	return keys, nil
}

// readKey reads one key of a set.
func readKey(raw []byte, mine func(issuer string) bool) (kid string, key *publicKey, err error) {
	o, err := readObject(raw)
	if err != nil {
		return "", nil, err
	}
	if kid, err = o.text("kid"); err != nil || kid == "" || len(kid) > maxKeyID {
		return "", nil, errNotOurs
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := o[name]; ok {
			return kid, nil, errSecret
		}
	}
	if issuer, err := o.text("issuer"); err != nil || !mine(issuer) {
		return "", nil, errNotOurs
	}
	switch kty, _ := o.text("kty"); kty {
	case "RSA":
		key, err = readRSA(o)
	case "EC":
		key, err = readEC(o)
	default:
		return "", nil, errNotOurs
	}
	if err != nil || !o.verifies(key.alg) {
		return "", nil, errNotOurs
	}
	return kid, key, nil
}

// verifies reports whether a key is there to verify signatures by alg, as far
// as it says.
func (o object) verifies(alg string) bool {
	use, useErr := o.text("use")
	own, algErr := o.text("alg")
	operations, opsErr := o.texts("key_ops")
	return useErr == nil && algErr == nil && opsErr == nil &&
		(use == "" || use == "sig") && (own == "" || own == alg) &&
		(operations == nil || slices.Contains(operations, "verify"))
}

// readRSA reads the key of RFC 7518, section 6.3.1.
func readRSA(o object) (*publicKey, error) {
	n, errN := o.integer("n")
	e, errE := o.integer("e")
	if err := errors.Join(errN, errE); err != nil {
		return nil, err
	}
	if bits := n.BitLen(); bits < minRSA || bits > maxRSA || n.Bit(0) == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3 {
		return nil, errWeak
	}
	return &publicKey{alg: "RS256", public: &rsa.PublicKey{N: n, E: int(e.Int64())}}, nil
}

// readEC reads the key of RFC 7518, section 6.2.1.
func readEC(o object) (*publicKey, error) {
	if curve, _ := o.text("crv"); curve != "P-256" {
		return nil, errNotOurs
	}
	x, errX := o.bytes("x")
	y, errY := o.bytes("y")
	if err := errors.Join(errX, errY); err != nil || len(x) != 32 || len(y) != 32 {
		return nil, errWeak
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errWeak
	}
	return &publicKey{alg: "ES256", public: public}, nil
}

func (o object) integer(name string) (*big.Int, error) {
	data, err := o.bytes(name)
	return new(big.Int).SetBytes(data), err
}

func (o object) bytes(name string) ([]byte, error) {
	s, err := o.text(name)
	if err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.DecodeString(s)
}
