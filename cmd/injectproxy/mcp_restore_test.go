package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// subscribing is an MCP server of 2025-06-18 that knows who subscribed to what
// in which session.
type subscribing struct {
	mu       sync.Mutex
	sessions map[string]map[string]bool // URIs by session
	begun    int
	refused  map[string]bool     // bearer tokens
	settled  func(bearer string) // called with the lock held when a session is initialized; may be nil
}

func (s *subscribing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct{ URI string }
	}
	err := json.NewDecoder(r.Body).Decode(&m)
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	subscriptions := s.sessions[r.Header.Get("Mcp-Session-Id")]
	result := `{}`
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	case s.refused[bearer]:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case m.Method == "initialize":
		s.begun++
		id := fmt.Sprint("s", s.begun)
		s.sessions[id] = map[string]bool{}
		w.Header().Set("Mcp-Session-Id", id)
		result = `{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"x","version":"1"}}`
	case subscriptions == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	case m.Method == "notifications/initialized":
		if s.settled != nil {
			s.settled(bearer)
		}
		w.WriteHeader(http.StatusAccepted)
		return
	case m.Method == "resources/subscribe":
		subscriptions[m.Params.URI] = true
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// Settings are sent to a new session several at a time. Each finds out by
// itself that its token was refused, and gets another.
func TestSettingsAreRestoredThoughTheTokenIsRefusedMeanwhile(t *testing.T) {
	a := newIdentity(t)
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			s := &subscribing{sessions: map[string]map[string]bool{}, refused: map[string]bool{}}
			root := newLive(t, proto, s.ServeHTTP)
			c := newTestbed(t, settings{entra: a, tables: entraAudiences + mcpRule(root+"/")}).client(proto)
			send := func(body string) reply {
				return call(t, c, "POST", root+"/mcp", strings.NewReader(body),
					"Content-Type", "application/json", "Accept", streamable, "Mcp-Session-Id", "s1", "Mcp-Protocol-Version", "2025-06-18")
			}
			post(t, c, root+"/mcp", demoInitialize).wantStatus(t, http.StatusOK)
			send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`).wantStatus(t, http.StatusAccepted)
			const subscribed = 20
			for i := range subscribed {
				send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"resources/subscribe","params":{"uri":"a://%d"}}`, i+1, i)).wantStatus(t, http.StatusOK)
			}
			s.mu.Lock()
			clear(s.sessions)
			s.settled = func(bearer string) {
				a.Revoke(bearer)
				s.refused[bearer] = true
			}
			s.mu.Unlock()
			send(callTool("99")).wantStatus(t, http.StatusOK)
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := len(s.sessions["s2"]); n != subscribed {
				t.Errorf("%d of %d subscriptions were restored", n, subscribed)
			}
		})
	}
}
