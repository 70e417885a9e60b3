package token

import "time"

// refreshEvery is the least time between two background refreshes, and the
// time for which a source that gave the refused token again is not asked to
// replace it. Some sources (az) give no other token until 5 min before expiry;
// a margin longer than that, or than the token's life, must not become a loop.
const refreshEvery = 30 * time.Second

// clock reads two clocks, for neither alone can be trusted: the monotonic one
// stands still while the machine sleeps, the wall clock can be set back.
type clock struct {
	wall func() time.Time
	born time.Time // what the monotonic clock counts from
}

func (c clock) now() moment {
	return moment{wall: c.wall().Round(0), run: time.Since(c.born)}
}

// moment is one reading of both clocks.
type moment struct {
	wall time.Time // without a monotonic reading, so that Sub counts sleep
	run  time.Duration
}

// since returns the time from earlier to m by the clock that says more.
func (m moment) since(earlier moment) time.Duration {
	return max(m.wall.Sub(earlier.wall), m.run-earlier.run)
}

// entry is a cached token. It is immutable; a nil entry holds no token.
type entry struct {
	token  Token
	serial int           // counts a Cache's entries from 1
	got    moment        // when the source gave it
	tried  moment        // when the source was last asked for another
	life   time.Duration // from got to the expiry, 0 if that is unknown
}

// newEntry returns the entry of a token given now, or nil if it has ended.
func newEntry(t Token, serial int, now moment) *entry {
	e := &entry{token: t, serial: serial, got: now, tried: now}
	if t.expiry.IsZero() {
		return e
	}
	if e.life = t.expiry.Round(0).Sub(now.wall); e.life <= 0 {
		return nil
	}
	return e
}

// live reports whether e holds a token that has not ended: now is before its
// expiry by the wall clock, and it has run for less than its life since.
func (e *entry) live(now moment) bool {
	return e != nil && (e.life == 0 || now.since(e.got) < e.life)
}

// number returns the serial of e, 0 if e is nil.
func (e *entry) number() int {
	if e == nil {
		return 0
	}
	return e.serial
}

// has reports whether e holds exactly the token t.
func (e *entry) has(t Token) bool { return e != nil && e.token.Equal(t) }

// due reports whether a live e should be refreshed.
func (e *entry) due(now moment, margin time.Duration) bool {
	return e.life != 0 && now.since(e.got) >= e.life-margin && now.since(e.tried) >= refreshEvery
}

// attempted returns e with now as the last attempt.
func (e *entry) attempted(now moment) *entry {
	next := *e
	next.tried = now
	return &next
}
