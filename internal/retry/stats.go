package retry

import (
	"iter"
	"sync/atomic"
)

// outcome is how a refusal was handled.
type outcome int

const (
	none outcome = iota
	healed
	refusedAgain
	sameToken
	coolingDown
	refreshFailed
	bodyTooLarge
	memoryBudget
	bodyBroken
	clientLeft
	resendFailed
	outcomes
)

var outcomeNames = [outcomes]string{
	none:          "",
	healed:        "healed",
	refusedAgain:  "refused again",
	sameToken:     "same token",
	coolingDown:   "cooling down",
	refreshFailed: "refresh failed",
	bodyTooLarge:  "body too large",
	memoryBudget:  "memory budget",
	bodyBroken:    "body broken",
	clientLeft:    "client left",
	resendFailed:  "resend failed",
}

// String returns the outcome as logs and [token.Use] have it.
func (o outcome) String() string { return outcomeNames[o] }

// Stats counts refusals by how they were handled. The zero Stats is ready; it
// may be shared by routes and is safe for concurrent use.
type Stats struct {
	counts [outcomes]atomic.Int64
}

func (s *Stats) count(o outcome) {
	if s != nil {
		s.counts[o].Add(1)
	}
}

// All yields every outcome by name, in a fixed order, with its count so far.
func (s *Stats) All() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for o := none + 1; o < outcomes; o++ {
			if !yield(o.String(), s.counts[o].Load()) {
				return
			}
		}
	}
}
