package main

import (
	"slices"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/token"
)

// liveSession is something that happened to a session, as the page has it.
type liveSession struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Team    string    `json:"team,omitempty"`
	Rule    string    `json:"rule"`
	Session string    `json:"session"` // digest
	Target  string    `json:"target"`
	Detail  string    `json:"detail,omitempty"`
	Took    float64   `json:"took_ms,omitempty"`
}

// liveToken is what came of asking a source for a token, as the page has it.
type liveToken struct {
	At time.Time `json:"at"`
	statusToken
}

// tunnelTally counts tunnels.
type tunnelTally struct {
	Open int64 `json:"open"`
	Made int64 `json:"made"`
}

// session takes down what happened to a session of a rule.
func (l *live) session(rule config.Rule, e session.Event) {
	s := liveSession{
		At: time.Now(), Kind: e.Kind.String(), Team: rule.Team, Rule: rule.Name,
		Session: e.Session, Target: shortened(e.Target, mostPath), Detail: e.Detail, Took: milliseconds(e.Took),
	}
	l.mu.Lock()
	if l.happened == nil {
		l.happened = map[string]int64{}
	}
	l.happened[s.Kind]++
	if len(l.sessions) >= mostEvents {
		l.sessions = slices.Delete(l.sessions, 0, 1)
	}
	l.sessions = append(l.sessions, s)
	l.mu.Unlock()
	l.feed.Publish("session", s)
}

// acquired tells those who watch what came of asking for a token.
func (l *live) acquired(a *config.Audience, t token.Token, err error) {
	if l.feed.Watched() {
		l.feed.Publish("token", liveToken{time.Now(), describeToken(a, t, err)})
	}
}

// tunnel takes down a tunnel, and what it returns its end.
func (l *live) tunnel() (ended func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tunnels.Open++
	l.tunnels.Made++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tunnels.Open--
	}
}
