package config

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is something wrong with a configuration. Message and Hint never
// contain a secret.
type Problem struct {
	Position
	Warning bool   // the configuration works all the same
	Message string // one line
	Hint    string // what to do about it, or ""
}

// String returns "FILE:LINE: what is wrong", without the line where a whole
// file is meant.
func (p Problem) String() string {
	message := p.Message
	if p.Warning {
		message = "warning: " + message
	}
	if p.Line == 0 {
		return p.File + ": " + message
	}
	return fmt.Sprintf("%s: %s", p.Position, message)
}

// String returns "FILE:LINE".
func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// compare orders places by file, line and column.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// report collects the problems of one load.
type report struct {
	problems []Problem
}

func (r *report) errorf(at Position, format string, args ...any) *Problem {
	return r.add(Problem{Position: at, Message: fmt.Sprintf(format, args...)})
}

func (r *report) warnf(at Position, format string, args ...any) *Problem {
	return r.add(Problem{Position: at, Warning: true, Message: fmt.Sprintf(format, args...)})
}

// add returns the stored problem so that a hint can be put to it. The pointer
// is good until the next call.
func (r *report) add(p Problem) *Problem {
	r.problems = append(r.problems, p)
	return &r.problems[len(r.problems)-1]
}

func (p *Problem) hint(format string, args ...any) {
	p.Hint = fmt.Sprintf(format, args...)
}

// firstError returns the first error among the problems from index on, or nil.
func (r *report) firstError(from int) *Problem {
	for i := from; i < len(r.problems); i++ {
		if !r.problems[i].Warning {
			return &r.problems[i]
		}
	}
	return nil
}

// sorted returns the problems by line within each file, the files in the order
// in which they were first mentioned.
func (r *report) sorted() []Problem {
	order := map[string]int{}
	for _, p := range r.problems {
		if _, ok := order[p.File]; !ok {
			order[p.File] = len(order)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return r.problems
}
