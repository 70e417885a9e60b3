package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"
)

// What is overwritten is the root's key, once it has signed, and only that one:
// the intermediate's still signs, from what was made and from what was read.
func TestKeyThatIsForgottenIsOverwritten(t *testing.T) {
	t.Parallel()
	permit, err := ParsePermit([]string{"corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the memory, not the number
	scalar := rootKey.D.Bits()
	made, err := signedOnce(rootKey, permit, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, word := range scalar {
		if word != 0 {
			t.Errorf("word %d of the root's key is left", i)
		}
	}
	file, err := made.encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := decodeSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]chain{"made": made, "read": read} {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{}, c.intermediate, &c.key.PublicKey, c.key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil || leaf.CheckSignatureFrom(c.intermediate) != nil {
			t.Errorf("%s: the intermediate does not sign any more: %v", name, err)
		}
	}
}
