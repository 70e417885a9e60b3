package main

import (
	"strings"
	"time"
	"unicode/utf8"

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
	liveRequests

	// guarded by mu
	sessions []liveSession // the latest last
	happened map[string]int64
	tunnels  tunnelTally
	refusal  map[ruleID]deadEnd // the last of each rule that was not served since
}

// began takes down a request that has just begun.
func (l *live) began(r *record.Record) {
	l.begin(r, &liveRequest{
		Start: r.Start, Client: r.Client, Team: r.Team, Rule: r.Rule, Kind: r.Kind,
		Method: shortened(r.Method, 20), Authority: r.Authority, Path: shortened(r.Path, mostPath),
	})
}

// answered takes down that its answer begins.
func (l *live) answered(r *record.Record) {
	l.change(r, func(q *liveRequest) { q.learn(r) })
}

// done takes down that it has ended.
func (l *live) done(r *record.Record) {
	l.refused(r)
	l.end(r, time.Since(r.Start), func(q *liveRequest) { q.learn(r) })
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
