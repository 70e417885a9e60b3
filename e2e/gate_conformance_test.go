package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestConformanceThroughTheGateIsWhatItIsWithout: the protocol's own suite looks
// at a real server twice, at its own door and through the gate, with a hop before
// it that puts the token on its requests and leaves them as they are otherwise.
// Each check of each scenario says the same of both, those about DNS rebinding
// included: the gate sees the Host and the Origin that the suite sends. So it is
// where the gate decides on nothing, and where it judges each message and lists
// by what the caller may.
func TestConformanceThroughTheGateIsWhatItIsWithout(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct {
		revision string
		flag     string // of the server: it has one era at a time
		least    int    // checks that succeed
	}{
		{"2025-11-25", "-stateless=false", 80},
		{"2026-07-28", "-stateless=true", 160},
	} {
		t.Run(tt.revision, func(t *testing.T) {
			t.Parallel()
			address := conformanceServer(t, tt.flag)
			direct := conformance(t, n, client{}, "http://"+address, tt.revision)
			for name, decides := range map[string]string{
				"allow": "default = \"allow\"",
				"decides": fmt.Sprintf(`default = "deny"
[route.tools]
"*" = { scopes = [%[1]q] }
[route.resources]
"*" = { scopes = [%[1]q] }
[route.prompts]
"*" = { scopes = [%[1]q] }`, scopeMore),
			} {
				t.Run(name, func(t *testing.T) {
					h := newHop(t)
					g := gate(t, gateOptions{at: &relay{host: h.host}, clear: true, routes: fmt.Sprintf(`
[[route]]
path     = "/"
upstream = ["http://%s"]
scopes   = [%q]
origins  = ["http://%s"]
%s`, address, scopeUse, h.host, decides)})
					h.leadTo(g.address, g.user(t, ada, scopeUse, scopeMore))
					through := conformance(t, n, client{}, "http://"+h.host, tt.revision)
					compare(t, direct, through, tt.least)
					rebinding := 0
					for check, verdict := range through {
						if strings.Contains(check, "dns-rebinding") && verdict == "SUCCESS" {
							rebinding++
						}
					}
					if rebinding < 2 {
						t.Errorf("%d checks about DNS rebinding succeed, want two", rebinding)
					}
				})
			}
		})
	}
}
