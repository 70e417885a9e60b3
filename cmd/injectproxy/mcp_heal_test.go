package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// forgetful is an MCP server for tokens of an authority, and an agent in a
// session of it. With its sessions the server forgets the token in which it is
// asked for one, so that the session cannot be healed without another token.
type forgetful struct {
	*testbed
	*demoSessions
	entra  *entratest.Authority
	agent  *demoAgent
	bearer atomic.Value // the token that came last
}

func newForgetful(t *testing.T, a *entratest.Authority, proto string) *forgetful {
	t.Helper()
	f := &forgetful{demoSessions: newDemoSessions(), entra: a}
	root := newLive(t, proto, func(w http.ResponseWriter, r *http.Request) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, err := a.Validate(bearer, apiOne); err != nil {
			challenge(w)
			return
		}
		f.bearer.Store(bearer)
		if id := r.Header.Get("Mcp-Session-Id"); id != "" && f.find(id) == nil {
			a.Revoke(bearer)
		}
		f.serve(w, r, testClient)
	})
	f.testbed = newTestbed(t, settings{entra: a, tables: "[session]\ncooldown = \"1h\"\n" + entraAudiences + mcpRule(root+"/")})
	var err error
	f.agent, err = connectAgent(t.Context(), f.client(proto), root+"/mcp")
	must(t, err)
	must(t, f.agent.log(t.Context()))
	return f
}

// restart makes the server forget, and a sign-in necessary until it is called
// off.
func (f *forgetful) restart() (signIn func()) {
	f.forget()
	mended := f.entra.Fail(failing(apiOne, entratest.AADSTS(50076)))
	return func() { mended(); f.signedIn() }
}

func (f *forgetful) works(t *testing.T) {
	t.Helper()
	status, body, err := f.agent.whoami(t.Context())
	if err != nil || status != http.StatusOK || !strings.Contains(body, testClient) {
		t.Errorf("status %d, %v: %s", status, err, body)
	}
}

// Somebody whose session waits for a sign-in is told so, in the shape that the
// message asks for.
func TestTroubleWithATokenWhileASessionIsHealedIsExplained(t *testing.T) {
	a := newIdentity(t)
	for _, proto := range []string{"h1", "h2"} {
		for name, message := range map[string]shape{
			"request":      {body: callTool("7"), id: "7"},
			"notification": {body: `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`},
			"batch":        {body: "[" + callTool("7") + "]"},
			"stream":       {method: "GET", header: []string{"Accept", "text/event-stream"}},
		} {
			t.Run(name+" "+proto, func(t *testing.T) {
				f := newForgetful(t, a, proto)
				f.works(t)
				signIn := f.restart()
				message.header = append(message.header, "Mcp-Session-Id", f.agent.session, "MCP-Protocol-Version", demoVersion)
				r := message.sent(t, f.client(proto), f.agent.endpoint)
				if message.id != "" {
					r.explained(t, message.id, http.StatusBadGateway)
				} else {
					r.problem(t, http.StatusBadGateway)
				}
				if !strings.Contains(r.body, "az login") {
					t.Errorf("it does not say what to do: %s", r.body)
				}
				signIn()
				f.works(t)
				if begun, _ := f.counted(); begun != 1 {
					t.Errorf("%d sessions were begun", begun)
				}
			})
		}
	}
}

// A stream that cannot be opened again for want of a sign-in stays open, and
// goes on after it.
func TestHeldStreamOutlivesASignIn(t *testing.T) {
	a := newIdentity(t)
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			f := newForgetful(t, a, proto)
			ctx, cancel := context.WithTimeout(t.Context(), guard)
			defer cancel()
			stream, err := f.agent.listen(ctx)
			must(t, err)
			defer stream.Close()
			must(t, f.say(ctx, "warning", "before"))
			_, err = heard(stream, "notifications/message")
			must(t, err)

			asked := a.Count(forToken(apiOne))
			a.Revoke(f.bearer.Load().(string))
			signIn := f.restart()
			reached(t, a, apiOne, asked+1)
			// The refusal is perhaps on its way yet, and remembered after that.
			for begun := 0; begun == 0; begun, _ = f.counted() {
				signIn()
				_, _, err := f.agent.whoami(ctx)
				must(t, err)
			}
			must(t, f.say(ctx, "warning", "after"))
			if methods, err := heard(stream, "notifications/message"); err != nil {
				t.Errorf("%v: %v", methods, err)
			}
		})
	}
}
