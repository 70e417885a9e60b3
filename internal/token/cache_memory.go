package token

import (
	"errors"
	"sync"
	"time"
)

// How long an acquisition that failed is not repeated. A person may be waiting
// for the cause to end, so it is seconds unless the identity service asked for
// more; and even its word counts for no more than longestPause, after which
// one attempt does no harm.
const (
	transientPause = 2 * time.Second
	otherPause     = 5 * time.Second
	longestPause   = time.Minute
)

// maxFailures bounds the failures remembered, and with them the fruitless
// replacements within [refreshEvery]: an upstream that makes up a new claims
// challenge for every request would otherwise cost an acquisition each.
const maxFailures = 8

// memory remembers failed acquisitions by what was asked for, so that a
// source in trouble is not asked by every request. The zero memory is empty.
type memory struct {
	mu       sync.Mutex
	failures []failure // never more than maxFailures
}

type failure struct {
	query string
	err   error
	at    moment
	pause time.Duration
}

// recall returns the error that the same query met so lately that it would be
// met again, or nil if the source should be asked.
func (m *memory) recall(query string, now moment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	live := m.failures[:0]
	for _, f := range m.failures {
		if now.since(f.at) < f.pause {
			live = append(live, f)
		}
	}
	clear(m.failures[len(live):])
	m.failures = live
	for _, f := range live {
		if f.query == query {
			return f.err
		}
	}
	// The plain acquisition is one query: it needs no bound, and what
	// replacements met must not keep it from being tried.
	if len(live) == maxFailures && query != plain {
		return &Error{Class: Transient, Message: "too many attempts to replace the token have failed lately"}
	}
	return nil
}

// remember notes how a query ended; nil forgets its failures.
func (m *memory) remember(query string, err error, now moment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, f := range m.failures {
		if f.query == query {
			m.failures = append(m.failures[:i], m.failures[i+1:]...)
			break
		}
	}
	if err == nil {
		return
	}
	if len(m.failures) == maxFailures {
		m.failures = append(m.failures[:0], m.failures[1:]...)
	}
	m.failures = append(m.failures, failure{query, err, now, pause(err)})
}

// pause returns for how long err is remembered.
func pause(err error) time.Duration {
	if errors.Is(err, ErrSame) {
		return refreshEvery
	}
	var e *Error
	switch {
	case !errors.As(err, &e):
		return otherPause
	case e.RetryAfter > 0:
		return min(e.RetryAfter, longestPause)
	case e.Class == Transient:
		return transientPause
	}
	return otherPause
}
