package clientenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate returns a self-signed one, in PEM, and what keytool calls it.
func certificate(t *testing.T, name string) (data []byte, fingerprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum[:])), " ", ":")
}

func TestJavaReadsTheTrustStore(t *testing.T) {
	t.Parallel()
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		absent(t, "there is no keytool")
	}
	one, first := certificate(t, "one")
	two, second := certificate(t, "two")
	odd := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})
	data := bytes.Join([][]byte{[]byte("# roots\n"), one, odd, key, two}, nil)
	store, err := TrustStore(data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(file, store, 0o600); err != nil {
		t.Fatal(err)
	}
	// With the password Java verifies the checksum, without it does not.
	for _, args := range [][]string{{"-storepass", "changeit"}, nil} {
		cmd := exec.CommandContext(t.Context(), keytool, append([]string{"-list", "-v", "-storetype", "JKS", "-keystore", file}, args...)...)
		cmd.Stdin = strings.NewReader("\n")
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		text := string(out)
		if err != nil || strings.Count(text, "trustedCertEntry") != 2 || !strings.Contains(text, first) || !strings.Contains(text, second) {
			t.Errorf("keytool %q: %v\n%s", args, err, text)
		}
	}
	if again, _ := TrustStore(data); !bytes.Equal(store, again) {
		t.Error("the same roots give another store")
	}
}

func TestTrustStoreOfNothingIsAnError(t *testing.T) {
	for _, data := range []string{"", "no PEM", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))} {
		if store, err := TrustStore([]byte(data)); err == nil || store != nil {
			t.Errorf("%q: %d bytes, error %v", data, len(store), err)
		}
	}
}
