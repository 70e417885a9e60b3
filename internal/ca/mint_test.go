package ca

import (
	"bytes"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// likeX509 fails unless leaf is, but for its signature, byte for byte what
// x509.CreateCertificate makes for that host, serial number and validity.
func likeX509(t *testing.T, a *Authority, host string, leaf *x509.Certificate) {
	t.Helper()
	name, ip, err := parseHost(host)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: leaf.SerialNumber, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		Subject: leaf.Subject, BasicConstraintsValid: true, SubjectKeyId: keyID(&a.leafKey.PublicKey),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip.IsValid() {
		template.IPAddresses = []net.IP{ip.AsSlice()}
	} else {
		template.DNSNames = []string{name}
	}
	want, err := sign(template, a.intermediate, &a.leafKey.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(leaf.RawTBSCertificate, want.RawTBSCertificate) {
		t.Errorf("%q: minted\n%x, x509 makes\n%x", host, leaf.RawTBSCertificate, want.RawTBSCertificate)
	}
	if err := leaf.CheckSignatureFrom(a.intermediate); err != nil {
		t.Errorf("%q: %v", host, err)
	}
}

func TestMintedLeafIsWhatX509Makes(t *testing.T) {
	t.Parallel()
	a := ephemeral(t, "corp.example", "10.0.0.0/8", "fd00::/8")
	long := "a." + string(bytes.Repeat([]byte("b23456789."), 22)) + "corp.example"
	for _, host := range []string{"corp.example", "A.Corp.Example.", "_x-1.corp.example", "bücher.corp.example", long, "10.1.2.3", "::ffff:10.1.2.3", "fd00::1"} {
		likeX509(t, a, host, leaf(t, a, host).Leaf)
	}
}

// From 2050 on certificates write their times in another form.
func TestMintedLeafOfAnotherCentury(t *testing.T) {
	t.Parallel()
	now := time.Date(2049, 12, 30, 12, 0, 0, 5, time.FixedZone("", 3600))
	a, err := Ephemeral(permit(t, "corp.example"), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	likeX509(t, a, "corp.example", leaf(t, a, "corp.example").Leaf)
}

func FuzzMintedLeaf(f *testing.F) {
	a := ephemeral(f, "corp.example", "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
	for _, host := range []string{"corp.example", "x.corp.example", "192.0.2.1", "2001:db8::1", "ü.corp.example"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if c, err := a.Leaf(host); err == nil {
			likeX509(t, a, host, c.Leaf)
		}
	})
}
