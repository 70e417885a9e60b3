package token

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// How long an acquisition that failed is not repeated, unless the identity
// service named a time, whose word counts for no more than longestPause, after
// which one attempt does no harm.
//
// What is transient mends itself. Anything else has to be mended by a person:
// by a sign-in here, which has all failures forgotten; by a change of the
// configuration, which makes new Caches; or elsewhere, which [Error.Stale]
// notices. Stale is not asked before leastPause: a tool that fails may itself
// have written the files that it watches, and two audiences that fail would have
// each other ask at the rate of their requests. A source whose cause may be gone
// at any time, such as a file that anyone may write, says so by a Stale that is
// always true, and is asked again after leastPause.
const (
	transientPause = 2 * time.Second
	leastPause     = 5 * time.Second
	longestPause   = time.Minute
)

// maxFailures bounds the fruitless replacements that are remembered, and with
// them how many are made within [refreshEvery]: an upstream that makes up a new
// claims challenge for every request would otherwise cost an acquisition each.
const maxFailures = 8

// memory remembers failed acquisitions by what was asked for, so that a
// source in trouble is not asked by every request. The zero memory is empty.
type memory struct {
	mu       sync.Mutex
	failures []*failure // one per query
	forgot   int        // how often all were forgotten
}

// failure is immutable.
type failure struct {
	query  string
	err    error
	at     moment
	pause  time.Duration
	lapsed bool // a sign-in was made while the source was being asked
}

// replacement reports whether f is not of the one acquisition or the one
// refresh that there can be.
func (f *failure) replacement() bool { return f.query != plain && f.query != quiet }

// stale reports whether the cause of f may be gone.
func (f *failure) stale(now moment) bool {
	if now.since(f.at) < leastPause {
		return false
	}
	e, ok := errors.AsType[*Error](f.err)
	return f.lapsed || ok && e.Stale != nil && e.Stale()
}

// recall returns the error that the same query met so lately that it would be
// met again, or nil if the source should be asked. A replacement that would be
// one too many meets what the last one met.
func (m *memory) recall(query string, now moment) error {
	var others []*failure
	for _, f := range m.live(now) {
		if f.query == query {
			return m.met(now, f)
		}
		if f.replacement() {
			others = append(others, f)
		}
	}
	// What replacements met must not keep from acquiring a token.
	if query == plain || query == quiet || len(others) < maxFailures {
		return nil
	}
	return m.met(now, others...)
}

// met returns the last of the failures, or nil if one of them is stale: that
// one is then dropped. Stale is called without the lock, for it may look at
// files.
func (m *memory) met(now moment, failures ...*failure) error {
	i := slices.IndexFunc(failures, func(f *failure) bool { return f.stale(now) })
	if i < 0 {
		return failures[len(failures)-1].err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = slices.DeleteFunc(m.failures, func(f *failure) bool { return f == failures[i] })
	return nil
}

// live returns the failures that are not over, the latest last.
func (m *memory) live(now moment) []*failure {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = slices.DeleteFunc(m.failures, func(f *failure) bool { return now.since(f.at) >= f.pause })
	return slices.Clone(m.failures)
}

// epoch tells apart what began before and after [memory.forget].
func (m *memory) epoch() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgot
}

// forget drops all failures.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = nil
	m.forgot++
}

// remember notes how a query ended that began in the given epoch; a nil error
// forgets its failure. One that has outlived its epoch did not see the sign-in,
// or it is the one that had it made and failed all the same. The first should be
// tried again, and the second must not open one sign-in after the other: it is
// remembered for leastPause.
func (m *memory) remember(query string, err error, now moment, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = slices.DeleteFunc(m.failures, func(f *failure) bool { return f.query == query })
	if err != nil {
		m.failures = append(m.failures, &failure{query, err, now, pause(err), epoch != m.forgot})
	}
}

// pause returns for how long err is remembered.
func pause(err error) time.Duration {
	if errors.Is(err, ErrSame) {
		return refreshEvery
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e.RetryAfter > 0:
		return min(e.RetryAfter, longestPause)
	case ok && e.Class == Transient:
		return transientPause
	}
	return longestPause
}
