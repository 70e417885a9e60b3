package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	return p.Position.String() + ": " + message
}

// String returns "FILE:LINE", or "FILE" without a line. Files of a team may
// come with any name: one that could break out of its line is quoted.
func (p Position) String() string {
	file := p.File
	if strings.ContainsFunc(file, func(r rune) bool { return !strconv.IsPrint(r) }) {
		file = strconv.Quote(file)
	}
	if p.Line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(p.Line)
}

// compare orders places by file, line and column.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// report collects the problems of one load.
type report struct {
	problems  []Problem
	elsewhere bool // files that are named in a configuration are not here, and not read
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

// limit keeps the first n of the problems from index on, errors before
// warnings, and says how many more there are.
func (r *report) limit(from, n int) {
	all := r.problems[from:]
	if len(all) <= n {
		return
	}
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(compareBool(a.Warning, b.Warning), a.compare(b.Position))
	})
	r.problems = r.problems[:from+n]
	last := slices.MaxFunc(all[:n], func(a, b Problem) int { return a.compare(b.Position) })
	r.warnf(last.Position, "and %d more problems in this file", len(all)-n)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
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
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), a.compare(b.Position))
	})
	return r.problems
}
