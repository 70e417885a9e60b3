package telemetry

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// hands is a clock that a test moves.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func newHands() *hands { return &hands{at: time.Date(2026, 11, 21, 12, 0, 1, 0, time.UTC)} }

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

var mcpOne = Rule{"platform", "mcp-1", "mcp"}

// answered is a request under mcpOne whose answer took d.
func answered(status int, d time.Duration) *record.Record {
	r := &record.Record{Team: "platform", Rule: "mcp-1", Kind: "mcp", Status: status, Start: time.Unix(1, 0)}
	r.Answered = r.Start.Add(d)
	return r
}

func (p Plot) of(t *testing.T, r Rule) RulePlot {
	t.Helper()
	for _, rp := range p.Rules {
		if rp.Rule == r {
			return rp
		}
	}
	t.Fatalf("no plot of %v", r)
	return RulePlot{}
}

func TestHistoryPlotsRatesAndLatencies(t *testing.T) {
	clock := newHands()
	h := NewHistory(clock.now)
	h.SetRules([]Rule{mcpOne})
	for i := range 100 {
		h.Answered(answered(200, time.Duration(i+1)*10*time.Millisecond))
	}
	h.Answered(answered(502, time.Millisecond))
	left := &record.Record{Team: "platform", Rule: "mcp-1", Kind: "mcp", Start: clock.now()}
	h.Done(left)
	h.Done(answered(200, 0)) // it has been noted when it was answered
	if got := h.Snapshot().Recent.of(t, mcpOne); got.Requests != nil {
		t.Errorf("a step that is not over is shown: %v", got.Requests)
	}
	clock.pass(recentStep)
	p := h.Snapshot().Recent
	got := p.of(t, mcpOne)
	if len(got.Requests) != recentSteps || p.Steps != recentSteps || p.Step != 5 || !p.End.Equal(time.Date(2026, 11, 21, 12, 0, 5, 0, time.UTC)) {
		t.Fatalf("%d steps of %v s to %v", len(got.Requests), p.Step, p.End)
	}
	last := recentSteps - 1
	if got.Requests[last] != 102./5 || got.Failures[last] != 2./5 {
		t.Errorf("%v requests and %v failures a second", got.Requests[last], got.Failures[last])
	}
	if p50, p95 := float64(got.P50[last]), float64(got.P95[last]); math.Abs(p50/500-1) > 0.2 || math.Abs(p95/950-1) > 0.2 {
		t.Errorf("p50 %v, p95 %v", p50, p95)
	}
	if got.Requests[last-1] != 0 || !math.IsNaN(float64(got.P50[last-1])) {
		t.Errorf("the step before: %v, %v", got.Requests[last-1], got.P50[last-1])
	}
}

func TestHistoryMovesOnAndForgets(t *testing.T) {
	clock := newHands()
	h := NewHistory(clock.now)
	h.SetRules([]Rule{mcpOne})
	h.Answered(answered(200, time.Millisecond))
	clock.pass(dayStep)
	p := h.Snapshot()
	at := func(rs []Reading) (i int) {
		for i, r := range rs {
			if r != 0 {
				return i
			}
		}
		return -1
	}
	if i := at(p.Recent.of(t, mcpOne).Requests); i != recentSteps-60 {
		t.Errorf("five minutes ago is step %d", i)
	}
	if i := at(p.Day.of(t, mcpOne).Requests); i != daySteps-1 {
		t.Errorf("five minutes ago is step %d of the day", i)
	}
	clock.pass(15 * time.Minute)
	if got := h.Snapshot(); got.Recent.of(t, mcpOne).Requests != nil || got.Day.of(t, mcpOne).Requests == nil {
		t.Errorf("after 20 minutes: %v", got)
	}
	clock.pass(recentStep * time.Duration(recentSteps+1)) // the same place in the ring
	h.Answered(answered(200, 2*time.Second))
	clock.pass(recentStep * time.Duration(recentSteps+1))
	h.Answered(answered(200, time.Millisecond))
	clock.pass(recentStep)
	if p95 := h.Snapshot().Recent.of(t, mcpOne).P95[recentSteps-1]; p95 > 2 {
		t.Errorf("p95 %v, of what was a ring ago", p95)
	}
	clock.pass(400 * 24 * time.Hour)
	h.Answered(answered(200, time.Millisecond))
	clock.pass(recentStep)
	if got := h.Snapshot().Recent.of(t, mcpOne).Requests; at(got) != recentSteps-1 {
		t.Errorf("after a year: %v", got)
	}
	clock.pass(-time.Hour) // set back: nothing is lost, nothing fails
	h.Answered(answered(200, time.Millisecond))
	h.Snapshot()
}

func TestHistoryIsBoundedByTheRules(t *testing.T) {
	h := NewHistory(nil)
	h.SetRules([]Rule{mcpOne, mcpOne})
	for i := range 10000 {
		r := answered(200, time.Millisecond)
		r.Rule, r.Authority, r.Path = fmt.Sprint("stranger-", i), fmt.Sprint(i, ":443"), fmt.Sprint("/", i)
		h.Answered(r)
	}
	if p := h.Snapshot(); len(p.Recent.Rules) != 2 || len(p.Day.Rules) != 2 || len(h.rules) != 2 {
		t.Errorf("%d plots", len(p.Recent.Rules))
	}
	h.Answered(answered(200, time.Millisecond))
	kept := h.rules[mcpOne]
	h.SetRules([]Rule{{"", "other", "http"}, mcpOne})
	if h.rules[mcpOne] != kept {
		t.Error("a change of the configuration forgets a rule that stays")
	}
	h.SetRules(nil)
	if p := h.Snapshot(); len(p.Recent.Rules) != 1 {
		t.Errorf("%d plots without rules", len(p.Recent.Rules))
	}
}

func TestPlotsAreJSON(t *testing.T) {
	clock := newHands()
	h := NewHistory(clock.now)
	h.Answered(&record.Record{Status: 200, Start: clock.now(), Answered: clock.now().Add(time.Second)})
	clock.pass(recentStep)
	b, err := json.Marshal(h.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); !strings.Contains(s, `"recent":{"step":5,"steps":180,"end":"2026-11-21T12:00:05Z","rules":[{"team":"","rule":"","kind":"","requests":[0,`) ||
		!strings.Contains(s, `,null,861],"p95"`) {
		t.Errorf("%.300s", s)
	}
}

func TestNotingForPlotsAllocatesNothing(t *testing.T) {
	h := NewHistory(nil)
	h.SetRules([]Rule{mcpOne})
	r := answered(200, 12*time.Millisecond)
	h.Answered(r)
	// A step begins now and then, and its waits once.
	if n := testing.AllocsPerRun(1000, func() { h.Answered(r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// After the clock was set back what was before stays behind what is now.
func TestHistoryGoesOnAfterTheClockWasSetBack(t *testing.T) {
	clock := newHands()
	h := NewHistory(clock.now)
	h.SetRules([]Rule{mcpOne})
	run := func() {
		for range 60 {
			h.Answered(answered(200, time.Millisecond))
			clock.pass(recentStep)
		}
	}
	run()
	clock.pass(-time.Hour)
	run()
	clock.pass(-time.Minute)
	run()
	for i, p := range []Plot{h.Snapshot().Recent, h.Snapshot().Day} {
		got := p.of(t, mcpOne).Requests
		all := 0.0
		for _, v := range got {
			all += float64(v) * p.Step
		}
		if lost := 180 - all; lost < -0.5 || i == 0 && lost > 2.5 || i == 1 && lost > 120.5 || !p.End.Equal(clock.now().Truncate(time.Duration(p.Step)*time.Second)) {
			t.Errorf("%d: %v of 180 requests are in the plot to %v", i, all, p.End)
		}
	}
}
