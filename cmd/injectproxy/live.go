package main

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/admin"
	"github.com/injectproxy/injectproxy/internal/record"
)

const (
	mostEnded  = 200 // requests that are remembered after their end
	mostShown  = 200 // requests in flight that are shown at a time; of more there is a count
	mostEvents = 50  // events of sessions that are remembered
	mostPath   = 300 // bytes of a path that are shown
)

// live is what the status page shows of an instance as it happens: requests,
// sessions and tokens. It holds no secret, and its size is bounded but for the
// requests in flight. The zero live is ready; it is safe for concurrent use, and
// waits for no one who watches.
type live struct {
	feed admin.Feed

	mu       sync.Mutex
	number   int64
	flying   map[*record.Record]*liveRequest // each is changed in place, under the lock
	ended    []liveRequest                   // a ring, once it is full
	next     int                             // where the next goes in it
	sessions []liveSession                   // the latest last
	happened map[string]int64
	tunnels  tunnelTally
	refusal  map[ruleID]deadEnd // the last of each rule that was not served since
}

// liveRequest is one intercepted request as the page has it.
type liveRequest struct {
	ID        int64     `json:"id"`
	State     string    `json:"state"` // waiting, answering, ended
	Start     time.Time `json:"start"`
	Client    string    `json:"client,omitempty"`
	Team      string    `json:"team,omitempty"`
	Rule      string    `json:"rule,omitempty"`
	Kind      string    `json:"kind,omitempty"`
	Method    string    `json:"method"`
	Authority string    `json:"authority"`
	Path      string    `json:"path"`
	Status    int       `json:"status,omitempty"`
	Stream    bool      `json:"stream,omitempty"`
	Wait      float64   `json:"wait_ms,omitempty"` // to the header of the answer
	Duration  float64   `json:"duration_ms,omitempty"`
	Bytes     int64     `json:"bytes,omitempty"`
	Source    string    `json:"source,omitempty"`
	Token     string    `json:"token,omitempty"` // fingerprint
	Attempts  int       `json:"attempts,omitempty"`
	Retry     string    `json:"retry,omitempty"`
	Session   string    `json:"session,omitempty"`
	Problem   string    `json:"problem,omitempty"`
}

// began takes down a request that has just begun.
func (l *live) began(r *record.Record) {
	q := &liveRequest{
		State: "waiting", Start: r.Start, Client: r.Client, Team: r.Team, Rule: r.Rule, Kind: r.Kind,
		Method: shortened(r.Method, 20), Authority: r.Authority, Path: shortened(r.Path, mostPath),
	}
	l.mu.Lock()
	l.number++
	q.ID = l.number
	if l.flying == nil {
		l.flying = map[*record.Record]*liveRequest{}
	}
	l.flying[r] = q
	l.mu.Unlock()
	l.tell(q)
}

// answered takes down that its answer begins.
func (l *live) answered(r *record.Record) {
	l.mu.Lock()
	q, known := l.flying[r]
	if known {
		q.learn(r)
		q.State = "answering"
	}
	l.mu.Unlock()
	if known {
		l.tell(q)
	}
}

// done takes down that it has ended.
func (l *live) done(r *record.Record) {
	l.refused(r)
	l.mu.Lock()
	q, known := l.flying[r]
	if known {
		delete(l.flying, r)
		q.learn(r)
		q.State, q.Duration = "ended", milliseconds(time.Since(r.Start))
		if len(l.ended) < mostEnded {
			l.ended = append(l.ended, *q)
		} else {
			l.ended[l.next] = *q
			l.next = (l.next + 1) % mostEnded
		}
	}
	l.mu.Unlock()
	if known {
		l.tell(q)
	}
}

// tell sends q to those who watch. It is called by the goroutine that serves q,
// which alone changes it: others only look, under the lock. For nobody it is not
// copied, which would take memory for each request.
func (l *live) tell(q *liveRequest) {
	if l.feed.Watched() {
		l.feed.Publish("request", *q)
	}
}

// learn takes over what r has come to know since the request began.
func (q *liveRequest) learn(r *record.Record) {
	q.Status, q.Stream, q.Bytes = r.Status, r.Stream, r.Bytes
	q.Source, q.Token, q.Attempts, q.Retry = r.Source, r.Fingerprint, r.Attempts, r.Retry
	q.Session, q.Problem = r.Session, r.Problem
	if !r.Answered.IsZero() {
		q.Wait = milliseconds(r.Answered.Sub(r.Start))
	}
}

// shortened returns a copy of s, of at most so many bytes and a sign that there
// was more. It does not keep the header that s may be a part of.
func shortened(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
