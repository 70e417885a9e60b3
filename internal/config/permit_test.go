package config

import (
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/match"
)

func TestRuleOutsideThePermitIsOff(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": `[ca]
permit = ["corp.example", "10.0.0.0/8", "::1"]
[audience.a]
token_env = "A"
[[rule]]
prefixes = ["https://corp.example/", "https://x.corp.example/", "https://10.1.2.3:8443/", "https://[::1]/"]
audience = "a"
[[rule]]
prefix = "https://notcorp.example/"
audience = "a"
[[rule]]
prefix = "https://11.0.0.1/"
audience = "a"
`})
	wantProblems(t, problems, "config.toml:8: |rule http-2 is off: its host notcorp.example lies outside ca.permit [add \"notcorp.example\" to permit",
		"config.toml:11: |its host 11.0.0.1 lies outside")
	if c == nil || c.Rules[0].Off != "" || c.Rules[1].Off == "" || c.Rules[2].Off == "" {
		t.Errorf("config = %+v", c)
	}
	if got := strings.Join(c.Permitted(), " "); got != "10.0.0.0/8 ::1 corp.example" {
		t.Errorf("permitted = %s", got)
	}
}

func TestPermitDefaultsToTheHostsOfRulesAndGrants(t *testing.T) {
	t.Parallel()
	c, _ := load(t, map[string]string{"config.toml": granting + "[[rule]]\nprefixes = [\"https://[::1]:1/\", \"https://own.example:8443/\"]\naudience = \"vault\"\n"})
	if got := strings.Join(c.Permitted(), " "); got != "::1 alpha.example own.example shared.example" {
		t.Errorf("permitted = %s", got)
	}
}

// What the configuration permits is what the CA will sign for: otherwise a
// rule that check passes would be off, or the other way round.
func TestPermitMeansToTheCAWhatItMeansHere(t *testing.T) {
	t.Parallel()
	entries := []string{"corp.example", "a_b.example", "LOCALHOST", "10.0.0.0/8", "10.1.1.1", "::1", "fd00::/8", "::ffff:10.9.9.9", "xn--bcher-kva.example", "bücher.example"}
	hosts := []string{
		"corp.example", "x.corp.example", "notcorp.example", "corp.example.evil.test", "a_b.example", "localhost", "x.localhost",
		"10.1.1.1", "10.255.0.1", "11.0.0.1", "[::1]", "[::2]", "[fd12::1]", "[::ffff:10.9.9.9]", "10.9.9.9", "bücher.example", "example",
	}
	for _, entry := range entries {
		canonical, problem, _ := parsePermit(entry)
		permit, err := ca.ParsePermit([]string{canonical})
		if problem != "" || err != nil {
			t.Errorf("%s: %s, %v", entry, problem, err)
		}
		for _, host := range hosts {
			p, err := match.ParsePrefix("https://" + host + "/")
			if err != nil {
				t.Fatal(err)
			}
			if here, there := permits([]string{canonical}, hostOf(p)), permit.Allows(hostOf(p)); here != there {
				t.Errorf("%s for %s: %v here, %v to the CA", entry, host, here, there)
			}
			if _, err := ca.ParsePermit([]string{hostOf(p)}); err != nil {
				t.Errorf("the CA takes no %s: %v", hostOf(p), err)
			}
		}
	}
}
