package exchange

import (
	"crypto/sha256"
	"time"
)

const (
	renewBefore = 5 * time.Minute // of a token's end: another is asked for
	useUntil    = time.Minute     // before a token's end: it is not used any more
	renewAfter  = 30 * time.Second
)

// key is what something is remembered by: a hash of all that decides on it.
type key [sha256.Size]byte

// entry is what is known of one token of a user's: what it was exchanged for, and
// what Entra refused. Neither the token itself nor whose it is is in it.
type entry struct {
	key  key
	held held

	token   string
	expires time.Time
	issued  time.Time
	tried   time.Time // when another was last asked for
	query   key       // that it is the answer to

	refusal *Refusal
	until   time.Time // when the refusal is forgotten

	again again
}

// look returns what is remembered for a plain query: a token that is good, and
// whether it is time to ask for another; or a refusal; or nothing.
func (m *memory) look(q query, now time.Time) (a answer, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.get(q.user)
	switch {
	case e == nil:
		return answer{}, false
	case now.Before(e.until):
		return answer{refusal: e.refusal}, false
	case !e.usable(now):
		return answer{}, false
	}
	if due = e.ending(now) && now.Sub(e.tried) >= renewAfter; due {
		e.tried = now
	}
	return answer{token: e.token}, due
}

// landed returns what makes asking needless, now that q has its turn. Who asks in
// place of a token that was refused has one turn less then.
func (m *memory) landed(q query, now time.Time) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q.again {
		a := m.instead(q, now)
		if !a.known() {
			m.spend(q, now)
		}
		return a
	}
	switch e := m.get(q.user); {
	case e == nil:
		return answer{}
	case now.Before(e.until):
		return answer{refusal: e.refusal}
	case e.usable(now) && !e.ending(now):
		return answer{token: e.token}
	}
	return answer{}
}

// keep remembers a token that q was answered with, for as long as somebody can ask
// for it: not beyond the end of the one that it came for. One that is too large, or
// ends too soon to be of use to the next, is not kept.
func (m *memory) keep(q query, token string, expires, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end, ok := endOf(q.assertion); ok && end.Before(expires) {
		expires = end
	}
	e := m.entry(q.user)
	e.token, e.expires, e.issued, e.tried, e.query = token, expires, now, now, q.key
	e.refusal, e.until = nil, time.Time{}
	if q.again {
		e.again.refusal, e.again.until = nil, time.Time{}
	}
	if len(token) > maxKept || !e.usable(now) {
		e.token = ""
	}
	m.put(e, now)
}

// refuse remembers that q was refused. A token that is still good stays if Entra
// could not be asked, or does not give one with the claims of an API, which is
// nothing to the others.
func (m *memory) refuse(q query, r *Refusal, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(q.user)
	if q.again {
		e.again.refuse(q, r, now)
	}
	away := r.Reason == Unavailable && e.usable(now)
	if !away && (q.claims == "" || r.Reason == SignIn) {
		e.token = ""
	}
	if !away && q.claims == "" { // so Entra would answer anybody who has this token
		e.refusal, e.until = r, now.Add(r.remembered())
	}
	m.put(e, now)
}

// usable reports whether e is a token that may be sent.
func (e *entry) usable(now time.Time) bool { return e.token != "" && e.expires.Sub(now) >= useUntil }

// ending reports whether it is time to ask for another.
func (e *entry) ending(now time.Time) bool { return e.expires.Sub(now) < renewBefore }

// end is when nothing of e is of use any more.
func (e *entry) end() time.Time {
	end := e.until
	if e.token != "" && e.expires.After(end) {
		end = e.expires
	}
	for _, t := range []time.Time{e.again.until, e.again.last().Add(replacedWithin)} {
		if t.After(end) {
			end = t
		}
	}
	return end
}

// bytes is how much e counts as: what is of no fixed size.
func (e *entry) bytes() int {
	n := len(e.token)
	for _, r := range []*Refusal{e.refusal, e.again.refusal} {
		if r != nil {
			n += len(r.Claims) + len(r.Detail)
		}
	}
	return n
}
