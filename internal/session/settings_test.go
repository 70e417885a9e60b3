package session_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// restored returns what was said in the session that came in place of another,
// without ids, in order; the settings themselves come in any.
func restored(srv *server, n int) (methods, settings []string) {
	for _, d := range srv.all()[n:] {
		methods = append(methods, d.rpc)
		var m struct{ Params json.RawMessage }
		json.Unmarshal([]byte(d.body), &m)
		if strings.HasPrefix(d.rpc, "resources/") || strings.HasPrefix(d.rpc, "logging/") {
			settings = append(settings, d.rpc+" "+string(m.Params))
		}
	}
	slices.Sort(settings)
	return methods, settings
}

func TestSettingsOfTheClientAreRestored(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for _, stream := range []bool{false, true} {
			srv := newServer(t, proto)
			srv.stream = stream
			c := newClient(t, srv, restless).begin()
			c.post(message(1, "logging/setLevel", `{"level":"debug"}`))
			c.post(message(2, "logging/setLevel", `{"level":"info"}`))
			for _, uri := range []string{"a", "b", "c", "a"} {
				c.post(message(3, "resources/subscribe", `{"uri":"test://`+uri+`"}`))
			}
			c.post(message(4, "resources/unsubscribe", `{"uri":"test://b"}`))
			c.post(`[` + message(5, "resources/subscribe", `{"uri":"test://d"}`) + `,` + message(6, "ping", "") + `]`)
			for _, again := range []bool{false, true} { // what was restored is restored again
				srv.lose()
				n := len(srv.all())
				c.call()
				methods, settings := restored(srv, n)
				want(t, "the last", methods[len(methods)-1], "tools/call")
				wantList(t, "the first", methods[:3], "tools/call", "initialize", "notifications/initialized")
				wantList(t, fmt.Sprint("settings, again: ", again), settings,
					`logging/setLevel {"level":"info"}`,
					`resources/subscribe {"uri":"test://a"}`, `resources/subscribe {"uri":"test://c"}`, `resources/subscribe {"uri":"test://d"}`)
			}
		}
	})
}

func TestSettingThatTheServerRefusedIsNotRemembered(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.set(func(s *server) {
		s.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
			if strings.Contains(string(b), "resources/subscribe") {
				w.WriteHeader(500)
				return true
			}
			return false
		}
	})
	c.post(message(1, "resources/subscribe", `{"uri":"test://a"}`))
	srv.lose()
	n := len(srv.all())
	c.call()
	if _, settings := restored(srv, n); len(settings) > 0 {
		t.Errorf("restored %q", settings)
	}
}

func TestSettingThatWasRefusedIsRestoredWithTheSessionThatTookIt(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv, restless).begin()
	srv.lose()
	c.post(message(1, "resources/subscribe", `{"uri":"test://a"}`)) // refused, and then taken
	srv.lose()
	n := len(srv.all())
	c.call()
	_, settings := restored(srv, n)
	wantList(t, "settings", settings, `resources/subscribe {"uri":"test://a"}`)
}

func TestSettingThatIsNotTakenAgainDoesNotStopTheRecovery(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for name, status := range map[string]int{"error": 500, "loss": 404, "reset": 0} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv).begin()
				c.post(message(1, "resources/subscribe", `{"uri":"test://a"}`))
				srv.set(func(s *server) {
					clear(s.live)
					s.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
						if !strings.Contains(string(b), "resources/subscribe") {
							return false
						}
						if status == 0 {
							panic(http.ErrAbortHandler)
						}
						w.WriteHeader(status)
						return true
					}
				})
				if status == 404 {
					want(t, "status", c.post(message(2, "tools/call", "")).status, 404)
					wantList(t, "events", c.told(), "accepted", "lost 404", "failed refused")
					return
				}
				c.call()
			})
		}
	})
}
