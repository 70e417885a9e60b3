package ca

import (
	"strings"
	"testing"
	"time"
)

func TestParsePermit(t *testing.T) {
	t.Parallel()
	for entries, want := range map[string]string{
		"":                              "nothing",
		"Corp.Example.":                 "corp.example",
		"b.example,a.example,b.example": "a.example, b.example",
		"bücher.example":                "xn--bcher-kva.example",
		"localhost":                     "localhost",
		"my_host.corp":                  "my_host.corp",
		"10.1.2.3/8":                    "10.0.0.0/8",
		"10.1.2.3,corp.example":         "corp.example, 10.1.2.3",
		"10.1.2.3/32,10.1.2.3":          "10.1.2.3",
		"::1,fd00::/8":                  "::1, fd00::/8",
		"::ffff:10.1.2.3":               "10.1.2.3",
		"::ffff:10.0.0.0/104":           "10.0.0.0/8",
	} {
		p, err := ParsePermit(split(entries))
		if err != nil || p.String() != want {
			t.Errorf("%q: %s, %v; want %s", entries, p, err, want)
		}
		if again, err := ParsePermit(split(strings.ReplaceAll(want, ", ", ","))); p.IsZero() == false && (err != nil || again.String() != want) {
			t.Errorf("%q does not read back: %s, %v", want, again, err)
		}
	}
}

func split(entries string) []string {
	if entries == "" {
		return nil
	}
	return strings.Split(entries, ",")
}

func TestParsePermitRefusesWhatCoversAllOrNothing(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"":                     "empty",
		".":                    "empty",
		"*":                    "wildcard",
		"*.corp.example":       "wildcard",
		".corp.example":        "label",
		"a..example":           "label",
		"https://corp.example": "range",
		"corp.example:443":     "not a DNS name",
		"[::1]":                "not a DNS name",
		"corp example":         "not a DNS name",
		"0.0.0.0/0":            "every address",
		"::/0":                 "every address",
		"::ffff:0:0/95":        "IPv4 and IPv6",
		"10.0.0.0/33":          "range",
		"256.1.1.1":            "number",
		"10.0.1":               "number",
		"a.0x7f":               "number",
		"①②⑦.0.0.1":            "number",
		"fe80::1%eth0":         "zone",
		"::ffff:1.2.3.4%eth0":  "zone",
		"224.0.0.0":            "multicast",
		"ff00::/8":             "multicast",
	} {
		p, err := ParsePermit([]string{"good.example", entry})
		if err == nil || !p.IsZero() || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v; want an error with %q", entry, p, err, want)
		}
	}
	_, err := ParsePermit([]string{"*", "good.example", "0.0.0.0/0"})
	if err == nil || strings.Count(err.Error(), "permit ") != 2 {
		t.Errorf("not every bad entry is reported: %v", err)
	}
}

// FuzzAllowsAgreesWithVerification signs for any host under any permit, and
// has Go's verifier decide.
func FuzzAllowsAgreesWithVerification(f *testing.F) {
	permits := []string{"corp.example", "a.corp.example,corp.example", "Corp.Example.", "10.0.0.0/8", "10.1.2.3", "::1",
		"fd00::/8,10.0.0.0/8", "corp.example,::1", "fe00::/7", "192.0.0.0/2", "a-b.example,a.example,b.a.example",
		"localhost", "bücher.example", "::ffff:10.0.0.0/104", "224.0.0.0", "a.b.c.d.example,10.0.0.0/9,10.128.0.0/9"}
	hosts := []string{"corp.example", "a.corp.example", "b.a.corp.example", "CORP.example.", "xcorp.example", "corp.example.evil",
		"example", "10.1.2.3", "11.0.0.1", "::1", "::ffff:10.1.2.3", "fd12::3", "localhost", "evil.localhost", "a-b.example",
		"xn--bcher-kva.example", "bücher.example", "-a.corp.example", "_x.corp.example", "ff00::", "224.0.0.0", "0.0.0.0", ""}
	for _, p := range permits {
		for _, h := range hosts {
			f.Add(p, h)
		}
	}
	f.Fuzz(func(t *testing.T, entries, host string) {
		p, err := ParsePermit(split(entries))
		if err != nil || p.IsZero() || len(entries) > 1000 {
			return
		}
		a, err := Ephemeral(p, time.Now)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if got := a.Permit().String(); got != p.String() {
			t.Errorf("the certificate permits %s, not %s", got, p)
		}
		allowed := p.Allows(host)
		name, ip, err := parseHost(host)
		if err != nil {
			if allowed {
				t.Errorf("%q is allowed but is no host: %v", host, err)
			}
			return
		}
		c, err := a.signLeaf(name, ip, time.Now())
		if err != nil {
			t.Fatalf("%q: %v", host, err)
		}
		canonical := name
		if ip.IsValid() {
			canonical = ip.String()
		}
		if err := verify(a, c, canonical); (err == nil) != allowed {
			t.Errorf("%s allows %q = %t, but the verifier says %v", p, host, allowed, err)
		}
	})
}
