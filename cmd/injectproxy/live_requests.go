package main

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/admin"
)

// liveRequests are the requests in flight and those that have ended lately, for
// the page. The zero liveRequests is ready; it is safe for concurrent use, and
// waits for no one who watches.
type liveRequests struct {
	feed admin.Feed

	mu     sync.Mutex
	number int64
	flying map[any]*liveRequest // by what the caller calls it; each is changed in place, under the lock
	ended  []liveRequest        // a ring, once it is full
	next   int                  // where the next goes in it
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

	// of a gate's
	Message  string `json:"message,omitempty"` // method of JSON-RPC
	Name     string `json:"name,omitempty"`    // of a tool, a resource or a prompt
	Decision string `json:"decision,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Caller   string `json:"caller,omitempty"` // oid
	Tenant   string `json:"tenant,omitempty"` // tid
	Exchange string `json:"exchange,omitempty"`
}

// begin takes down a request that has just begun, by the key that change and
// end are told of.
func (l *liveRequests) begin(key any, q *liveRequest) {
	l.mu.Lock()
	l.number++
	q.ID, q.State = l.number, "waiting"
	if l.flying == nil {
		l.flying = map[any]*liveRequest{}
	}
	l.flying[key] = q
	l.mu.Unlock()
	l.tell(q)
}

// change takes down that its answer begins, and what learn has to say.
func (l *liveRequests) change(key any, learn func(*liveRequest)) {
	l.mu.Lock()
	q, known := l.flying[key]
	if known {
		learn(q)
		q.State = "answering"
	}
	l.mu.Unlock()
	if known {
		l.tell(q)
	}
}

// end takes down that it has ended after took, and what learn has to say.
func (l *liveRequests) end(key any, took time.Duration, learn func(*liveRequest)) {
	l.mu.Lock()
	q, known := l.flying[key]
	if known {
		delete(l.flying, key)
		learn(q)
		q.State, q.Duration = "ended", milliseconds(took)
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
func (l *liveRequests) tell(q *liveRequest) {
	if l.feed.Watched() {
		l.feed.Publish("request", *q)
	}
}

// inFlight counts the requests in flight, and the event streams and upgraded
// connections among them.
func (l *liveRequests) inFlight() (all, streams int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.flying {
		if q.Stream {
			streams++
		}
	}
	return len(l.flying), streams
}

// requests returns those in flight, but not more than are shown, and those that
// have ended lately, each with the latest first.
func (l *liveRequests) requests() (flying, ended []liveRequest) {
	l.mu.Lock()
	flying = make([]liveRequest, 0, len(l.flying))
	for _, q := range l.flying {
		flying = append(flying, *q)
	}
	ended = append([]liveRequest{}, l.ended[l.next:]...)
	ended = append(ended, l.ended[:l.next]...)
	l.mu.Unlock()
	slices.SortFunc(flying, func(a, b liveRequest) int { return cmp.Compare(b.ID, a.ID) })
	slices.Reverse(ended)
	return flying[:min(len(flying), mostShown)], ended
}
