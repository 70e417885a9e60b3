package main

import (
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// counts are the requests since the start, by rule. Changes of the
// configuration do not reset them. The zero counts are ready.
type counts struct {
	mu    sync.Mutex
	rules map[ruleID]*tally
}

// ruleID is how people call a rule; the zero one is that of requests under none.
type ruleID struct{ team, rule string }

// tally is what came of requests.
type tally struct {
	Requests int64     `json:"requests"`
	Failures int64     `json:"failures"` // answers of 4xx and 5xx, and clients that left before one
	Last     time.Time `json:"last,omitzero"`
}

// note counts a request that has ended.
func (c *counts) note(r *record.Record) { c.add(ruleID{r.Team, r.Rule}, r.Start, r.Status) }

// add counts a request that began at that time and was answered with that
// status, 0 if it was not.
func (c *counts) add(id ruleID, start time.Time, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules == nil {
		c.rules = map[ruleID]*tally{}
	}
	n := c.rules[id]
	if n == nil {
		n = new(tally)
		c.rules[id] = n
	}
	n.Requests, n.Last = n.Requests+1, start
	if status == 0 || status >= 400 {
		n.Failures++
	}
}

func (c *counts) of(team, rule string) tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.rules[ruleID{team, rule}]; n != nil {
		return *n
	}
	return tally{}
}
