package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

func TestFindingsAreATableWithEachRemedyOnALineOfItsOwn(t *testing.T) {
	findings := []finding{
		{"config", stateOK, "/home/ada/config.toml", "1 rules", ""},
		{"az", stateWarn, "2.45.0", "is old", "az upgrade"},
		{"token", stateFail, "gateway", "az: nobody is signed in", "az login"},
	}
	const want = `ok    config  /home/ada/config.toml  1 rules
warn  az      2.45.0                 is old
      hint: az upgrade
fail  token   gateway                az: nobody is signed in
      hint: az login

3 checks: 1 failed, 1 to be looked at
`
	var out bytes.Buffer
	if err := printFindings(&out, findings, false); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
	out.Reset()
	printFindings(&out, findings, true)
	for _, s := range []string{"\x1b[32mok  \x1b[0m  config", "\x1b[33mwarn\x1b[0m  az", "\x1b[31mfail\x1b[0m  token"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("%q is not in %q", s, out.String())
		}
	}
	if colourful(&out) || newProgress(&out) != nil {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestClockGoesByTheServerThatAgreesBest(t *testing.T) {
	for name, tt := range map[string]struct {
		ahead  map[string]time.Duration
		status string
		detail string
	}{
		"nobody tells":    {nil, "", ""},
		"all agree":       {map[string]time.Duration{"a": time.Second, "b": -2 * time.Second}, stateOK, "agrees with a"},
		"one is wrong":    {map[string]time.Duration{"a": time.Hour, "b": -30 * time.Second}, stateOK, "agrees with b"},
		"a minute":        {map[string]time.Duration{"a": time.Minute}, stateOK, "agrees with a"},
		"more":            {map[string]time.Duration{"a": 61 * time.Second, "b": time.Hour}, stateFail, "is 1m1s ahead of a"},
		"more, backwards": {map[string]time.Duration{"a": -2 * time.Minute}, stateFail, "is 2m0s behind a"},
	} {
		got := (&clocks{ahead: tt.ahead}).examine()
		if tt.status == "" {
			if got != nil {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Status != tt.status || got[0].Detail != tt.detail || (got[0].Remedy != "") != (tt.status == stateFail) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAudienceOfATokenIsTheOneThatWasMeant(t *testing.T) {
	const guid, other = "58348f96-645d-4a2e-8c1d-000000000000", "16b3c013-d300-468d-8c1d-000000000000"
	for _, tt := range []struct {
		a    config.Audience
		aud  string
		want bool
	}{
		{config.Audience{ClientID: guid}, guid, true},
		{config.Audience{ClientID: guid}, "api://" + strings.ToUpper(guid), true},
		{config.Audience{ClientID: guid}, other, false},
		{config.Audience{ClientID: guid}, "https://management.azure.com/", false},
		{config.Audience{Resource: "https://vault.azure.net/"}, "https://vault.azure.net", true},
		{config.Audience{Resource: "https://vault.azure.net"}, "https://vault.azure.net.evil.test", false},
		{config.Audience{Resource: "https://vault.azure.net"}, other, true}, // v2 names the application
		{config.Audience{Resource: "https://vault.azure.net"}, "https://management.azure.com/", false},
		{config.Audience{Resource: "api://" + guid}, guid, true},
		{config.Audience{Resource: "api://" + guid}, other, false},
		{config.Audience{Resource: "api://gateway"}, other, true},
		{config.Audience{Scope: "https://vault.azure.net//.default"}, "https://vault.azure.net/", true},
		{config.Audience{Scope: "api://" + guid + "/access"}, guid, true},
		{config.Audience{Scope: "api://" + guid + "/access"}, other, false},
		{config.Audience{Scope: guid + "/.default"}, guid, true},
		{config.Audience{Scope: guid + "/.default"}, other, false},
		{config.Audience{Scope: "User.Read"}, "00000003-0000-0000-c000-000000000000", true},
		{config.Audience{TokenFile: "/run/token"}, "anything", true},
	} {
		if got := meant(&tt.a, tt.aud); got != tt.want {
			t.Errorf("%+v, aud %s: %v, want %v", tt.a, tt.aud, got, tt.want)
		}
	}
}

func TestSchemesOfAProxyAreKnownOnesAlone(t *testing.T) {
	for challenge, want := range map[string]string{
		`Basic realm="corp"`: "Basic",
		`NTLM`:               "NTLM",
		`Negotiate, NTLM`:    "Negotiate NTLM",
		`negotiate YIIabc==`: "Negotiate",
		`Digest realm="a, b", nonce="x", Basic realm=x`: "Digest Basic",
		`Evil <script>`: "an authentication of another kind",
	} {
		if got := strings.Join(schemesOf([]string{challenge}), " "); got != want {
			t.Errorf("%s: %q, want %q", challenge, got, want)
		}
	}
	if got := schemesOf(http.Header{}.Values("Proxy-Authenticate")); got != nil {
		t.Errorf("none: %q", got)
	}
}

func TestPACFileOfTheSystemIsFoundInWhatItsToolPrints(t *testing.T) {
	for _, tt := range []struct {
		goos, said string
		want       bool
	}{
		{"linux", "'auto'\n", true},
		{"linux", "'manual'\n", false},
		{"linux", "'none'\n", false},
		{"darwin", "<dictionary> {\n  ProxyAutoConfigEnable : 1\n  ProxyAutoConfigURLString : http://x/y.pac\n}\n", true},
		{"darwin", "<dictionary> {\n  ProxyAutoDiscoveryEnable : 1\n}\n", true},
		{"darwin", "<dictionary> {\n  HTTPSEnable : 1\n  ProxyAutoConfigEnable : 0\n}\n", false},
		{"windows", "\r\nHKEY_CURRENT_USER\\…\r\n    AutoConfigURL    REG_SZ    http://x/y.pac\r\n", true},
		{"windows", "", false},
	} {
		if got := saysPAC(tt.goos, tt.said); got != tt.want {
			t.Errorf("%s: %q: %v", tt.goos, tt.said, got)
		}
	}
}

func TestIdentityServiceThatNobodyNeedsNowIsNoFailure(t *testing.T) {
	for token, want := range map[string]string{stateOK: stateWarn, stateFail: stateFail} {
		got := withTokens([]finding{{Check: "token", Status: stateOK}, {Check: "token", Status: token}, {Check: "identity", Status: stateFail}})
		if got[2].Status != want || got[1].Status != token {
			t.Errorf("with a token that is %s: %+v", token, got)
		}
	}
}
