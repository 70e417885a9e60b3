package entratest

import (
	"sync"
	"time"
)

// issued is a token and when it ends.
type issued struct {
	value  string
	expiry time.Time
}

// ledger remembers which tokens are out. The zero ledger is ready for use.
type ledger struct {
	mu        sync.Mutex
	all       []string          // every token issued
	revoked   map[string]bool   // by value
	latest    map[string]issued // by what was asked for
	replaying bool
}

// remember notes a token that is about to leave.
func (l *ledger) remember(key string, t issued) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil {
		l.latest = make(map[string]issued)
	}
	l.all = append(l.all, t.value)
	l.latest[key] = t
}

// last returns the token that was given out for key, if it is to be replayed.
func (l *ledger) last(key string, now time.Time) (issued, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.latest[key]
	return t, ok && l.replaying && now.Before(t.expiry)
}

func (l *ledger) replay(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replaying = on
}

func (l *ledger) revoke(tokens []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark(tokens)
}

func (l *ledger) revokeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark(l.all)
}

// mark notes tokens as revoked. The lock is held.
func (l *ledger) mark(tokens []string) {
	if l.revoked == nil {
		l.revoked = make(map[string]bool)
	}
	for _, t := range tokens {
		l.revoked[t] = true
	}
}

func (l *ledger) isRevoked(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revoked[token]
}
