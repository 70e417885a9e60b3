package session_test

import (
	"testing"
)

func TestLostSessionIsHealedOnceForTheClient(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for _, stream := range []bool{false, true} {
			srv := newServer(t, proto)
			srv.stream = stream
			c := newClient(t, srv).begin()
			wantIn(t, "first call", c.call(), "session-1")
			srv.lose()
			n := len(srv.all())
			wantIn(t, "call after the loss", c.call(), "session-2")
			wantList(t, "upstream", srv.methods(n), "tools/call", "initialize", "notifications/initialized", "tools/call")
			wantIn(t, "call after that", c.call(), "session-2")
			wantList(t, "events", c.told(), "accepted", "lost 404", "healed", "replayed")
			want(t, "held", c.memory.Held(), 0)
		}
	})
}
