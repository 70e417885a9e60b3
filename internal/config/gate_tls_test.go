package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify returns a certificate for host that is valid so long, and its key.
func certify(t *testing.T, host string, from, to time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certifyKey(t, private, host, from, to)
}

// certifyKey is certify for a key.
func certifyKey(t *testing.T, private crypto.Signer, host string, from, to time.Duration) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestCertificateOfAGateIsRead(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	good, key := certify(t, "mcp.corp.example", -day, 60*day)
	other, otherKey := certify(t, "other.example", -day, 60*day)
	expired, expiredKey := certify(t, "mcp.corp.example", -2*day, -day)
	ending, endingKey := certify(t, "mcp.corp.example", -day, 13*day)
	early, earlyKey := certify(t, "mcp.corp.example", day, 60*day)
	for _, tt := range []struct{ name, cert, key, want string }{
		{"good", good, key, ""},
		{"expired", expired, expiredKey, "gate.toml:3: warning: tls.cert expired on 20"},
		{"about to expire", ending, endingKey, "gate.toml:3: warning: tls.cert expires on 20"},
		{"not yet valid", early, earlyKey, "gate.toml:3: warning: tls.cert is valid from 20"},
		{"for another host", other, otherKey, "gate.toml:3: warning: tls.cert is not for mcp.corp.example, the host of public_url"},
		{"key of another", good, otherKey, "gate.toml:4: tls.key is not the key of the first certificate"},
		{"exchanged", key, good, "gate.toml:3: tls.cert holds no PEM certificate"},
		{"no key", good, canary, "gate.toml:4: tls.key holds no PEM key"},
		{"no certificate", canary, key, "gate.toml:3: tls.cert holds no PEM certificate"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "tls.crt"), tt.cert)
		writeFile(t, filepath.Join(dir, "tls.key"), tt.key)
		file := filepath.Join(dir, "gate.toml")
		writeFile(t, file, strings.Replace(trustworthy, "[entra]", "[tls]\ncert = \"tls.crt\"\nkey = \"tls.key\"\n[entra]", 1))
		g, problems := LoadGate(file)
		got := strings.Join(lines(problems), "\n")
		want := tt.want
		if !strings.HasPrefix(got, want) || want == "" && got != "" || len(problems) > 1 || shows(got) {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, want)
		}
		if usable := want == "" || strings.Contains(want, "warning"); usable != (g != nil) {
			t.Errorf("%s: usable %v", tt.name, g != nil)
		} else if usable && (g.TLS.Cert != filepath.Join(dir, "tls.crt") || g.TLS.Key != filepath.Join(dir, "tls.key")) {
			t.Errorf("%s: %+v", tt.name, g.TLS)
		}
	}
}
