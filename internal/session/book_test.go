package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func keyOf(i int) key { return key{"", "mcp.test/mcp", fmt.Sprint("session-", i)} }

func TestBookHoldsSoManySessions(t *testing.T) {
	t.Parallel()
	b := NewBook()
	first := newSession(keyOf(0), nil)
	b.add(first)
	for i := range mostSessions - 1 {
		b.add(newSession(keyOf(i+1), nil))
	}
	if b.find(keyOf(0)) != first || !first.live() {
		t.Fatal("forgotten too early")
	}
	b.add(newSession(keyOf(mostSessions), nil))
	if b.find(keyOf(0)) == nil || b.find(keyOf(1)) != nil {
		t.Error("it is not the session that was not used for the longest time that is forgotten")
	}
	if n := len(b.Sessions()); n != mostSessions || len(b.sessions) != n {
		t.Errorf("%d sessions", n)
	}
	if s := b.Sessions(); s[0].Session != first.digest {
		t.Error("the last used is not the first")
	}
}

func TestSessionWithAStreamIsForgottenLast(t *testing.T) {
	t.Parallel()
	b := NewBook()
	busy := newSession(keyOf(0), nil)
	b.add(busy)
	leave := busy.enter(&busy.streams)
	for i := range 2 * mostSessions {
		b.add(newSession(keyOf(i+1), nil))
	}
	if !busy.live() || len(b.sessions) != mostSessions || b.find(keyOf(2*mostSessions)) == nil {
		t.Errorf("live: %v, of %d sessions", busy.live(), len(b.sessions))
	}
	leave()
	for i := range mostSessions {
		b.add(newSession(keyOf(-1-i), nil))
	}
	if busy.live() {
		t.Error("it is kept without a stream")
	}
}

func TestBookHoldsSoManyBytes(t *testing.T) {
	t.Parallel()
	b := NewBook()
	params := json.RawMessage(strings.Repeat("x", mostParams))
	var all []*session
	for i := range mostSessions {
		all = append(all, newSession(keyOf(i), params))
		b.add(all[i])
		if b.bytes > mostBytes {
			t.Fatalf("%d bytes", b.bytes)
		}
	}
	if n := len(b.sessions); n < mostBytes/(mostParams+2*overhead) || all[0].live() || !all[len(all)-1].live() {
		t.Errorf("%d sessions", n)
	}
	last := all[len(all)-1]
	b.grow(last, mostBytes/2)
	if b.bytes > mostBytes || !last.live() {
		t.Errorf("%d bytes", b.bytes)
	}
	before := b.bytes
	b.grow(all[0], 1<<20) // it is gone
	if b.bytes != before {
		t.Error("a session that is gone is counted")
	}
	for _, s := range all {
		b.forget(s)
	}
	if b.bytes != 0 || b.used.Len() != 0 || last.live() {
		t.Errorf("%d bytes, %d sessions", b.bytes, b.used.Len())
	}
}

func TestSessionOfTheSameIDReplacesTheOther(t *testing.T) {
	t.Parallel()
	b := NewBook()
	old, s := newSession(keyOf(1), nil), newSession(keyOf(1), nil)
	b.add(old)
	b.add(s)
	b.forget(old)
	if old.live() || b.find(keyOf(1)) != s || b.bytes != s.size {
		t.Errorf("%d bytes", b.bytes)
	}
}

func TestBookIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := NewBook()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				s := newSession(keyOf(n%10), nil)
				b.add(s)
				b.grow(s, i)
				leave := s.enter(&s.calls)
				b.find(keyOf(n % 7))
				b.Sessions()
				leave()
				b.forget(s)
			}
		})
	}
	all.Wait()
	if b.bytes != 0 || len(b.sessions) != 0 {
		t.Errorf("%d bytes, %d sessions", b.bytes, len(b.sessions))
	}
}

func subscription(method, uri string) jsonrpc.Message {
	return jsonrpc.Message{Kind: jsonrpc.Request, Method: "resources/" + method, Params: json.RawMessage(`{"uri":"` + uri + `"}`)}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	var m memory
	grown := 0
	for i := range 2 * mostSubscriptions {
		grown += m.note(subscription("subscribe", fmt.Sprint(i)))
	}
	if len(m.subscriptions) != mostSubscriptions || grown != m.bytes {
		t.Errorf("%d subscriptions, %d of %d bytes", len(m.subscriptions), grown, m.bytes)
	}
	for i := range 2 * mostSubscriptions {
		grown += m.note(subscription("unsubscribe", fmt.Sprint(i)))
	}
	if m.bytes != 0 || grown != 0 || len(m.subscriptions) != 0 {
		t.Errorf("%d bytes are left, %d told", m.bytes, grown)
	}
	for i := range 100 {
		m.note(subscription("subscribe", strings.Repeat("x", 4<<10)+fmt.Sprint(i)))
		if m.bytes > mostSubscriptionBytes {
			t.Fatalf("%d bytes", m.bytes)
		}
	}
	if n := len(m.subscriptions); n < 7 {
		t.Errorf("%d subscriptions", n)
	}
	m.note(jsonrpc.Message{Kind: jsonrpc.Request, Method: "logging/setLevel", Params: json.RawMessage(strings.Repeat("x", mostLevel+1))})
	if m.level != nil {
		t.Error("a level of any length is kept")
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	t.Parallel()
	var r recent
	for i := range mostRecent + 2 {
		r.add(fmt.Sprint(i))
		r.add(fmt.Sprint(i))
	}
	if r.has("0") || r.has("1") || !r.has("2") || !r.has(fmt.Sprint(mostRecent+1)) || len(r.known) != mostRecent {
		t.Errorf("%d known", len(r.known))
	}
}

func TestRestsAreBounded(t *testing.T) {
	t.Parallel()
	var r rests
	for i := range 2 * mostRests {
		r.begin(fmt.Sprint(i), 1<<40)
	}
	if len(r.until) != mostRests || !r.resting("0") {
		t.Errorf("%d rests", len(r.until))
	}
	r = rests{}
	for i := range 2 * mostRests {
		r.begin(fmt.Sprint(i), 1)
	}
	if len(r.until) > mostRests {
		t.Errorf("%d rests", len(r.until))
	}
}

func TestVersionsWithSessionsAreKnown(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2024-11-05": true, "2025-03-26": true, "2025-06-18": true, "2025-11-25": true, "2026-07-27": true,
		"2026-07-28": false, "2027-01-01": false, "": false, "1": false, "2025-6-18": false, "20250618xx": false, "2025-06-18 ": false, "DRAFT-2025": false, "2025_06_18": false,
	} {
		if got := sessionful(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
