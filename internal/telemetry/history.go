package telemetry

import (
	"math"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// Rule is a rule as labels and plots name it. The zero Rule stands for requests
// that were forwarded under none.
type Rule struct {
	Team string `json:"team"`
	Name string `json:"rule"`
	Kind string `json:"kind"`
}

func ruleOf(r *record.Record) Rule { return Rule{r.Team, r.Rule, r.Kind} }

// History remembers what became of requests, by rule and time, for plots: the
// last 15 minutes in steps of 5 s and the last 24 hours in steps of 5 min. A
// request counts when the header of its answer goes downstream, so that a
// stream counts as it begins, or when its client has left before that.
//
// What it holds is bounded by the rules: some 80 KB for one that was busy all
// day, next to nothing for one that nobody asked. It is safe for concurrent use.
type History struct {
	now func() time.Time

	mu    sync.Mutex
	rules map[Rule]*past
	order []Rule
}

// NewHistory returns a History without rules, which notes requests under none.
// A nil now means time.Now.
func NewHistory(now func() time.Time) *History {
	if now == nil {
		now = time.Now
	}
	h := &History{now: now}
	h.SetRules(nil)
	return h
}

// SetRules says which rules there are from now on. Others are forgotten.
func (h *History) SetRules(rules []Rule) {
	h.mu.Lock()
	defer h.mu.Unlock()
	former := h.rules
	h.rules, h.order = map[Rule]*past{}, nil
	for _, r := range append([]Rule{{}}, rules...) {
		if h.rules[r] != nil {
			continue
		}
		h.order = append(h.order, r)
		if h.rules[r] = former[r]; h.rules[r] == nil {
			h.rules[r] = &past{recent: window{step: recentStep}, day: window{step: dayStep}}
		}
	}
}

// Answered notes a request whose answer begins.
func (h *History) Answered(r *record.Record) { h.note(ruleOf(r), r.Status, r.Answered.Sub(r.Start)) }

// Done notes a request that ended without an answer; of others it has heard.
func (h *History) Done(r *record.Record) {
	if r.Answered.IsZero() {
		h.note(ruleOf(r), r.Status, -1)
	}
}

func (h *History) note(r Rule, status int, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now() // not before: who waits for the lock would set the clock back
	p := h.rules[r]
	if p == nil {
		return // a change of the configuration has taken the rule away
	}
	failed := status == 0 || status >= 400
	p.recent.note(now, failed, wait)
	p.day.note(now, failed, wait)
}

// Plots are what a History remembers, for JSON.
type Plots struct {
	Recent Plot `json:"recent"`
	Day    Plot `json:"day"`
}

// Plot is a stretch of time in equal steps, all of them over.
type Plot struct {
	Step  float64    `json:"step"` // seconds
	Steps int        `json:"steps"`
	End   time.Time  `json:"end"` // of the last step
	Rules []RulePlot `json:"rules"`
}

// RulePlot has one value for each step, the oldest first, or none at all if
// nobody asked in all that time. The first rule is that of requests under none;
// the others are in the order of the files.
type RulePlot struct {
	Rule
	Requests []Reading `json:"requests,omitempty"` // per second
	Failures []Reading `json:"failures,omitempty"` // per second: 4xx, 5xx, and clients that left before an answer
	P50      []Reading `json:"p50,omitempty"`      // milliseconds to the answer's header; null where none came
	P95      []Reading `json:"p95,omitempty"`
}

// Reading is a number in three digits, or NaN, which is null in JSON.
type Reading float64

// MarshalJSON implements [encoding/json.Marshaler].
func (r Reading) MarshalJSON() ([]byte, error) { return appendReading(nil, float64(r)), nil }

// Snapshot returns what is remembered at this moment.
func (h *History) Snapshot() Plots {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	recent, day := newPlot(now, recentStep, recentSteps), newPlot(now, dayStep, daySteps)
	for _, r := range h.order {
		p := h.rules[r]
		recent.Rules = append(recent.Rules, p.recent.plot(r, now))
		day.Rules = append(day.Rules, p.day.plot(r, now))
	}
	return Plots{recent, day}
}

func newPlot(now time.Time, step time.Duration, steps int) Plot {
	end := time.Unix(0, now.UnixNano()/int64(step)*int64(step)).UTC()
	return Plot{Step: step.Seconds(), Steps: steps, End: end, Rules: []RulePlot{}}
}

// past is what a rule has behind it.
type past struct{ recent, day window }

var nan = Reading(math.NaN())
