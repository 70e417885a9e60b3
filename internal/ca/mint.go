package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// mint makes the leaves of one process from a pattern: a leaf that x509 made
// and verified. Of it everything is taken over but the serial number, the
// validity and the alternative name, with nothing but encoding/asn1 to put
// them in. x509.CreateCertificate alone would take three times as long for
// each: it verifies what it has just signed. A mint does not change and may
// be used concurrently.
type mint struct {
	signer    *ecdsa.PrivateKey
	algorithm asn1.RawValue
	issuer    asn1.RawValue
	subject   asn1.RawValue
	key       asn1.RawValue
	others    []pkix.Extension // all but the alternative name
}

// patternHost is the alternative name of the pattern, which is never served.
const patternHost = "pattern.invalid"

var oidAlternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}

// newMint puts no name into the subject: OpenSSL would hold a common name
// that reads like a host against the DNS constraints, an IP address included.
func newMint(c chain, leafKey *ecdsa.PrivateKey) (*mint, error) {
	pattern, err := sign(&x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"injectproxy"}},
		NotBefore:             c.intermediate.NotBefore,
		NotAfter:              c.intermediate.NotAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          keyID(&leafKey.PublicKey),
		DNSNames:              []string{patternHost},
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
	}, c.intermediate, &leafKey.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	var whole certificate
	if _, err := asn1.Unmarshal(pattern.Raw, &whole); err != nil {
		return nil, err
	}
	m := &mint{
		signer: c.key, algorithm: whole.Algorithm,
		issuer:  asn1.RawValue{FullBytes: pattern.RawIssuer},
		subject: asn1.RawValue{FullBytes: pattern.RawSubject},
		key:     asn1.RawValue{FullBytes: pattern.RawSubjectPublicKeyInfo},
	}
	for _, e := range pattern.Extensions {
		if !e.Id.Equal(oidAlternativeName) {
			m.others = append(m.others, e)
		}
	}
	return m, nil
}

// certificate and tbsCertificate are those of RFC 5280, section 4.1.
type certificate struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

type tbsCertificate struct {
	Version    int `asn1:"explicit,tag:0"`
	Serial     *big.Int
	Algorithm  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   struct{ NotBefore, NotAfter time.Time }
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Extensions []pkix.Extension `asn1:"explicit,tag:3"`
}

// leaf returns a leaf for a name or, if that is valid, an address, both as
// parseHost has them. The caller checks that the CA may sign for it.
func (m *mint) leaf(name string, ip netip.Addr, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	alternative, err := alternativeName(name, ip)
	if err != nil {
		return nil, err
	}
	t := tbsCertificate{
		Version: 2, Serial: newSerial(), // version 2 is X.509v3
		Algorithm: m.algorithm, Issuer: m.issuer, Subject: m.subject, Key: m.key,
		Extensions: append(slices.Clip(m.others), alternative), // in the order of x509
	}
	t.Validity.NotBefore, t.Validity.NotAfter = notBefore.UTC(), notAfter.UTC()
	tbs, err := asn1.Marshal(t)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(tbs)
	signature, err := m.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(certificate{
		TBS: asn1.RawValue{FullBytes: tbs}, Algorithm: m.algorithm,
		Signature: asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// alternativeName is the extension of RFC 5280, section 4.2.1.6.
func alternativeName(name string, ip netip.Addr) (pkix.Extension, error) {
	const dNSName, iPAddress = 2, 7
	general := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dNSName, Bytes: []byte(name)}
	if ip.IsValid() {
		general.Tag, general.Bytes = iPAddress, ip.AsSlice()
	}
	value, err := asn1.Marshal([]asn1.RawValue{general})
	return pkix.Extension{Id: oidAlternativeName, Value: value}, err
}

// newSerial returns a positive number of 127 bits of which 126 are random.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b[:])
}
