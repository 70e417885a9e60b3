package signin

import (
	"slices"
	"time"
)

// enough is how many events of one audience are tolerated at a time. Their
// commands differ if claims do, and those the upstream chooses: it could
// otherwise have a person bothered with each request.
const enough = 3

// recent are events of the last ten minutes that a person noticed.
type recent []event

type event struct {
	at                time.Time
	command, audience string
}

// add notes that one happened for a.
func (r *recent) add(a Attempt, now time.Time) {
	*r = append(*r, event{now, a.Command, a.Audience})
}

// crowded reports whether one more for a would be too much, and when the last
// one was that makes it so.
func (r *recent) crowded(a Attempt, now time.Time) (last time.Time, ok bool) {
	*r = slices.DeleteFunc(*r, func(e event) bool { return !within(e.at, now, firstPause) })
	n := 0
	for _, e := range *r {
		if e.audience == a.Audience {
			n++
		}
		if e.command == a.Command || n >= enough {
			last, ok = e.at, true
		}
	}
	return last, ok
}
