package clientenv

import (
	"strings"
	"testing"
)

func TestNonProxyHostsSayWhatNoProxySays(t *testing.T) {
	const base = "localhost|127.*|[::1]"
	for noProxy, more := range map[string]string{
		"":                                   "",
		"localhost,127.0.0.1,::1,[::1]":      "",
		"corp.example":                       "|corp.example|*.corp.example",
		".corp.example":                      "|corp.example|*.corp.example",
		"*.corp.example":                     "|corp.example|*.corp.example",
		"10.1.2.3":                           "|10.1.2.3",
		"10.0.0.0/8,10.1.0.0/16,10.1.2.0/24": "|10.*|10.1.*|10.1.2.*",
		"10.0.0.0/9,0.0.0.0/0,10.1.2.3/32":   "", // no form for them
		"2001:db8::/32,host:8443":            "",
		"*":                                  "|*",
		"a*b":                                "|a*b",
		`a|b"c'd`:                            "",
	} {
		if got := nonProxyHosts(noProxy); got != base+more {
			t.Errorf("%q: %s, want %s%s", noProxy, got, base, more)
		}
	}
}

func TestJavaWithATrustStoreOfItsOwnIsLeftAlone(t *testing.T) {
	const own = "-Djavax.net.ssl.trustStore=/own -Xmx1g"
	e := For(settings("JAVA_TOOL_OPTIONS=" + own))
	if got := asMap(t, e)["JAVA_TOOL_OPTIONS"]; got != own {
		t.Errorf("JAVA_TOOL_OPTIONS=%s", got)
	}
	if len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "keytool") || !strings.Contains(e.Notes[0], "/h/ca.pem") {
		t.Errorf("notes %q", e.Notes)
	}
	s := settings()
	s.TrustStore = ""
	if e := For(s); len(e.Notes) > 0 || asMap(t, e)["JAVA_TOOL_OPTIONS"] != "" {
		t.Errorf("without a store: %+v", e)
	}
}

func TestJVMQuoting(t *testing.T) {
	for s, want := range map[string]string{
		"-Da=b":      "-Da=b",
		"-Da=b c":    `"-Da=b c"`,
		`-Da=b"c`:    `"-Da=b"'"'"c"`,
		"-Da=it's":   `"-Da=it's"`,
		"-Da=a\nb":   "\"-Da=a\nb\"",
		`-Da=C:\a b`: `"-Da=C:\a b"`,
	} {
		if got := jvmQuote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
