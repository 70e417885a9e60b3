package signin

import (
	"errors"
	"fmt"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	firstPause = 10 * time.Minute
	longPause  = time.Hour
	shortPause = time.Minute // the identity service was out of reach
	// onceFor is how long a sign-in that is to be made once is remembered. What
	// it waits for, somebody may have put right by then.
	onceFor = 24 * time.Hour
)

// tenant is what the Controller knows of the sign-ins to one tenant. Its
// times are the wall clock's: a machine that sleeps lets a pause pass.
type tenant struct {
	run       *run                 // under way
	signedIn  time.Time            // the last success
	made      recent               // successes
	once      map[string]time.Time // those that are not to be repeated, by command
	pause     pause                // of the tenant: the person did not want to, or could not
	audiences map[string]*pause    // of one audience: it would be in vain
}

// refuse says why a is not begun now, if it is not.
func (t *tenant) refuse(a Attempt, now time.Time) error {
	if t.pause.holds(now) {
		return t.pause.explain(a)
	}
	if p := t.audiences[a.Audience]; p != nil && p.holds(now) {
		return p.explain(a)
	}
	if at, ok := t.once[a.Command]; ok && a.Once && within(at, now, onceFor) {
		return &token.Error{
			Class: token.Consent, Hint: a.Command,
			Message: fmt.Sprintf("the sign-in at %s did not bring the consent", clock(at)),
		}
	}
	if at, ok := t.made.crowded(a, now); ok {
		return t.of(a).begin(a, fmt.Sprintf("at %s did not help", clock(at)), nil, now)
	}
	return nil
}

// succeeded notes that a's sign-in did. Whether it helped, the next requests
// show: the pauses after those that do not help go on growing.
func (t *tenant) succeeded(a Attempt, now time.Time) {
	t.signedIn = now
	t.pause = pause{}
	if p := t.audiences[a.Audience]; p != nil && (p.err != nil || !within(p.until, now, longPause)) {
		delete(t.audiences, a.Audience)
	}
	t.made.add(a, now)
	t.attempted(a, now)
}

// attempted notes that somebody has dealt with a, if that is to happen once.
func (t *tenant) attempted(a Attempt, now time.Time) {
	if !a.Once {
		return
	}
	if t.once == nil {
		t.once = map[string]time.Time{}
	}
	t.once[a.Command] = now
}

// failed notes that a's sign-in did with err, and returns what a gets.
func (t *tenant) failed(a Attempt, err error, now time.Time) error {
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		e = &token.Error{} // with an unknown text, that may be a server's
	}
	switch e.Class {
	case token.NotInstalled:
		return hinted(e, a)
	case token.Transient:
		// Nobody was asked in earnest, and the network may be back any moment.
		return t.of(a).rest(a, e, now)
	case token.Consent, token.Policy, token.Misconfigured:
		// The person did what was asked of them; others may have more luck.
		t.attempted(a, now)
		return t.of(a).begin(a, "", e, now)
	case token.Declined:
		t.attempted(a, now)
		return t.pause.begin(a, "was declined at "+clock(now), e, now)
	}
	what := "failed at " + clock(now)
	if e.Message != "" {
		what += " (" + e.Message + ")"
	}
	return t.pause.begin(a, what, e, now)
}

// expired notes that a's sign-in was not finished within limit.
func (t *tenant) expired(a Attempt, limit time.Duration, now time.Time) error {
	return t.pause.begin(a, fmt.Sprintf("was given up at %s, after %v", clock(now), limit), nil, now)
}

// of returns the pause of a's audience.
func (t *tenant) of(a Attempt) *pause {
	p := t.audiences[a.Audience]
	if p == nil {
		p = &pause{}
		if t.audiences == nil {
			t.audiences = map[string]*pause{}
		}
		t.audiences[a.Audience] = p
	}
	return p
}

// forget drops all that keeps a sign-in from being offered.
func (t *tenant) forget(now time.Time) {
	t.signedIn = now
	t.pause, t.audiences, t.once, t.made = pause{}, nil, nil, nil
}

// pause is a time in which no sign-in is offered. It doubles with each that
// follows. The zero pause is none.
type pause struct {
	length       time.Duration // of the last
	since, until time.Time
	what         string       // became of the sign-in
	err          *token.Error // it failed with, or nil
}

// begin has p hold from now on, and returns what a gets.
func (p *pause) begin(a Attempt, what string, err *token.Error, now time.Time) error {
	p.since = now
	p.length = min(max(2*p.length, firstPause), longPause)
	p.until = p.since.Add(p.length)
	p.what, p.err = what, err
	return p.explain(a)
}

// rest has p hold for a short time, in which a gets e.
func (p *pause) rest(a Attempt, e *token.Error, now time.Time) error {
	c := *e
	c.RetryAfter = max(c.RetryAfter, shortPause)
	p.since, p.length, p.what, p.err = now.Round(0), shortPause, "", &c
	p.until = p.since.Add(p.length)
	return p.explain(a)
}

// holds reports whether p does. A clock that was set back ends it.
func (p *pause) holds(now time.Time) bool {
	return !p.until.IsZero() && within(p.since, now, p.length)
}

// explain is what a gets while p holds.
func (p *pause) explain(a Attempt) error {
	if p.what == "" {
		return hinted(p.err, a)
	}
	e := &token.Error{
		Class: token.Declined, Hint: a.Command,
		Message: fmt.Sprintf("the sign-in %s; the next one is offered at %s", p.what, clock(p.until)),
	}
	if p.err != nil {
		e.Source, e.Code = p.err.Source, p.err.Code
	}
	return e
}

// hinted returns e with a hint: its own, else a's command.
func hinted(e *token.Error, a Attempt) error {
	c := *e
	if c.Hint == "" {
		c.Hint = a.Command
	}
	return &c
}

// within reports whether now lies less than d after t, and not before it, by
// the wall clock: the monotonic one stands still while a machine sleeps.
func within(t, now time.Time, d time.Duration) bool {
	passed := now.Round(0).Sub(t.Round(0))
	return passed >= 0 && passed < d
}

// clock is how a person reads t.
func clock(t time.Time) string { return t.Format("15:04") }
