package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clocked returns a CA whose clock the test sets.
func clocked(t *testing.T, entries ...string) (*Authority, *time.Time) {
	t.Helper()
	now := time.Now()
	a, err := Ephemeral(permit(t, entries...), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return a, &now
}

func leaf(t testing.TB, a *Authority, host string) *tls.Certificate {
	t.Helper()
	c, err := a.Leaf(host)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLeafIsWhatVerifiersAskFor(t *testing.T) {
	t.Parallel()
	a, now := clocked(t, "corp.example", "10.0.0.0/8", "::1")
	serials := map[string]bool{}
	for _, host := range []string{"corp.example", "A.corp.EXAMPLE.", "10.1.2.3", "::1"} {
		served := leaf(t, a, host)
		if err := verify(a, served, host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		c := served.Leaf
		key, ok := c.PublicKey.(*ecdsa.PublicKey)
		for what, holds := range map[string]bool{
			"the chain is leaf and intermediate": len(served.Certificate) == 2 && slices.Equal(served.Certificate[1], a.intermediate.Raw),
			"one alternative name":               len(c.DNSNames)+len(c.IPAddresses) == 1,
			"a P-256 key":                        ok && key.Curve == elliptic.P256(),
			"a key identifier":                   len(c.SubjectKeyId) == 20,
			"the authority's key identifier":     slices.Equal(c.AuthorityKeyId, a.intermediate.SubjectKeyId),
			"for servers only":                   slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}),
			"for signing handshakes only":        c.KeyUsage == x509.KeyUsageDigitalSignature,
			"no CA":                              c.BasicConstraintsValid && !c.IsCA,
			"7 days at most":                     c.NotAfter.Sub(c.NotBefore) <= 7*24*time.Hour,
			"6 days at least from now":           c.NotAfter.Sub(*now) >= 6*24*time.Hour,
			"begins an hour back":                now.Sub(c.NotBefore) >= 59*time.Minute,
			"begins after its CA":                !c.NotBefore.Before(a.intermediate.NotBefore),
			"a long serial number":               c.SerialNumber.BitLen() > 100,
			"a serial number of its own":         !serials[c.SerialNumber.String()],
			"no name in the subject":             c.Subject.CommonName == "",
		} {
			if !holds {
				t.Errorf("%s: not so: %s", host, what)
			}
		}
		serials[c.SerialNumber.String()] = true
	}
}

func TestAuthorityIsWhatVerifiersAskFor(t *testing.T) {
	t.Parallel()
	a := ephemeral(t, "corp.example")
	for role, c := range map[string]*x509.Certificate{"root": a.root, "intermediate": a.intermediate} {
		if !c.IsCA || c.KeyUsage != x509.KeyUsageCertSign || len(c.SubjectKeyId) == 0 || !c.PermittedDNSDomainsCritical {
			t.Errorf("the %s lacks something: %+v", role, c)
		}
	}
	if !a.intermediate.MaxPathLenZero || a.root.MaxPathLen != 1 {
		t.Error("paths may be longer than root, intermediate, leaf")
	}
	if !slices.Equal(a.intermediate.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Error("the intermediate is good for more than servers")
	}
	if b := ephemeral(t, "corp.example"); a.root.Subject.String() == b.root.Subject.String() {
		t.Error("two roots share a name")
	}
}

func TestHostOutsideTheConstraintsGetsNoLeaf(t *testing.T) {
	t.Parallel()
	_, a := made(t)
	for _, host := range []string{"evil.example", "evilcorp.example", "example", "127.0.0.1", "::1", "[::1]",
		"*.corp.example", "", ".", "a..corp.example", "a\x00.corp.example", "a b.corp.example", "corp.example:443",
		strings.Repeat("a", 64) + ".corp.example", strings.Repeat("a.", 150) + "corp.example", "\x1b[2J.corp.example"} {
		_, err := a.Leaf(host)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, rotateHint) || strings.ContainsAny(e.Error(), "\x00\x1b\n") {
			t.Errorf("%q: %v", host, err)
		}
		if checked := a.Check(host); checked == nil || checked.Error() != err.Error() {
			t.Errorf("%q: Check says %v, Leaf %v", host, checked, err)
		}
	}
	if err := a.Check("a.corp.example"); err != nil {
		t.Error(err)
	}
}

func TestLeafIsKeptUntilItsLastDay(t *testing.T) {
	t.Parallel()
	a, now := clocked(t, "corp.example")
	first := leaf(t, a, "corp.example")
	if leaf(t, a, "CORP.example.") != first {
		t.Error("another spelling of the host got another leaf")
	}
	*now = first.Leaf.NotAfter.Add(-24 * time.Hour)
	if leaf(t, a, "corp.example") != first {
		t.Error("renewed with a day left")
	}
	*now = now.Add(time.Second)
	second := leaf(t, a, "corp.example")
	if second == first || !second.Leaf.NotAfter.After(now.Add(6*24*time.Hour)) {
		t.Error("not renewed in its last day")
	}
	*now = first.Leaf.NotBefore.Add(time.Minute)
	if third := leaf(t, a, "corp.example"); third.Leaf.NotBefore.After(*now) {
		t.Error("a leaf of the future was served after the clock was set back")
	}
}

func TestLeafNeverOutlivesItsCA(t *testing.T) {
	t.Parallel()
	a, now := clocked(t, "corp.example")
	end := a.intermediate.NotAfter
	*now = end.Add(-2 * time.Hour)
	last := leaf(t, a, "corp.example")
	if !last.Leaf.NotAfter.Equal(end) {
		t.Errorf("the leaf ends at %s, the CA at %s", last.Leaf.NotAfter, end)
	}
	if leaf(t, a, "corp.example") != last {
		t.Error("signed again though nothing longer is to be had")
	}
	*now = end.Add(time.Second)
	var e *Error
	if _, err := a.Leaf("corp.example"); !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("an expired CA signed, or said no remedy: %v", err)
	}
}

func TestLeavesAreBounded(t *testing.T) {
	t.Parallel()
	a := ephemeral(t, "corp.example")
	for i := range maxLeaves + 10 {
		leaf(t, a, fmt.Sprintf("h%d.corp.example", i))
	}
	if len(a.leaves) != maxLeaves {
		t.Errorf("%d leaves are kept, want %d", len(a.leaves), maxLeaves)
	}
}

func TestConcurrentHandshakesShareOneLeaf(t *testing.T) {
	t.Parallel()
	a := ephemeral(t, "corp.example")
	got := make([]*tls.Certificate, 50)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = a.Leaf("corp.example") })
	}
	wg.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("leaves differ")
		}
	}
}

func BenchmarkLeafSigned(b *testing.B) {
	a := ephemeral(b, "corp.example")
	for b.Loop() {
		clear(a.leaves)
		leaf(b, a, "corp.example")
	}
}

func BenchmarkLeafKept(b *testing.B) {
	a := ephemeral(b, "corp.example")
	for b.Loop() {
		leaf(b, a, "corp.example")
	}
}
