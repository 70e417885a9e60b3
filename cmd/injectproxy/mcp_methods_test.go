package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Whatever the proxy itself sends to put a session in the place of a lost one
// goes out under a rule that has the method, with that rule's token.
func TestHealingKeepsToTheMethodsOfTheRules(t *testing.T) {
	a := newIdentity(t)
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			sessions := newDemoSessions()
			var mu sync.Mutex
			seen := map[string]int{} // methods, with the audience
			root := newLive(t, proto, func(w http.ResponseWriter, r *http.Request) {
				bearer, audience := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "none"
				for name, api := range map[string]string{"a": apiOne, "b": apiTwo} {
					if _, err := a.Validate(bearer, api); err == nil {
						audience = name
					}
				}
				mu.Lock()
				seen[r.Method+" "+audience]++
				mu.Unlock()
				sessions.serve(w, r, testClient)
			})
			b := newTestbed(t, settings{entra: a, tables: entraAudiences + "[session]\nhard = \"1ns\"\n" +
				mcpRule(root+"/", `name = "read"`, `methods = ["GET"]`) +
				strings.Replace(mcpRule(root+"/", `name = "write"`, `methods = ["POST"]`), `"a"`, `"b"`, 1)})
			agent, err := connectAgent(t.Context(), b.client(proto), root+"/mcp")
			must(t, err)
			sessions.forget()
			call(t, b.client(proto), "GET", root+"/mcp", nil, "Accept", streamable,
				"Mcp-Session-Id", agent.session, "Mcp-Protocol-Version", demoVersion).wantStatus(t, http.StatusNotFound)
			status, body, err := agent.whoami(t.Context())
			if err != nil || status != http.StatusOK {
				t.Errorf("call: status %d, %v: %s", status, err, body)
			}
			mu.Lock()
			defer mu.Unlock()
			for of := range seen {
				if of != "GET a" && of != "POST b" {
					t.Errorf("%d %s", seen[of], of)
				}
			}
		})
	}
}
