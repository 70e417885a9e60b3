package source

import (
	"errors"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/token"
)

// summary is the error for all failures: the only one, the one that ended the
// search, the first that a person can mend, or else all of them in one line.
func summary(failures []failure) error {
	last := failures[len(failures)-1].err
	if len(failures) == 1 || !passesOn(last) {
		return last
	}
	for _, telling := range []func(error) bool{
		func(err error) bool { return classOf(err) == token.SignIn },
		func(err error) bool { return errors.Is(err, errNotAccepted) },
	} {
		for _, f := range failures {
			if telling(f.err) {
				return alsoTell(f.err, f.err, failures)
			}
		}
	}
	return noneHasOne(failures)
}

// alsoTell adds to err, which tells of the failure main, what the other
// sources said that were not just absent.
func alsoTell(err, main error, failures []failure) error {
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		return err
	}
	var others []string
	for _, f := range failures {
		if f.err != main && (classOf(f.err) == token.SignIn || errors.Is(f.err, errNotAccepted)) {
			others = append(others, f.err.Error())
		}
	}
	all := *e
	all.Message = strings.Join(append([]string{e.Message}, others...), "; ")
	all.Stale = anyStale(e.Stale, failures)
	return &all
}

// anyStale reports whether one of the failures, or first, may be gone by now.
func anyStale(first func() bool, failures []failure) func() bool {
	stale := []func() bool{first}
	for _, f := range failures {
		if e, ok := errors.AsType[*token.Error](f.err); ok {
			stale = append(stale, e.Stale)
		}
	}
	return func() bool {
		return slices.ContainsFunc(stale, func(f func() bool) bool { return f != nil && f() })
	}
}

// noneHasOne is the error when no source has anything to begin with.
func noneHasOne(failures []failure) error {
	all := &token.Error{Class: token.NotInstalled, Stale: anyStale(nil, failures)}
	var messages, hints []string
	for _, f := range failures {
		e, ok := errors.AsType[*token.Error](f.err)
		if !ok {
			continue
		}
		messages = append(messages, e.Error())
		if e.Hint != "" && !slices.Contains(hints, e.Hint) {
			// What a person can do comes first: there is one far more often than
			// an application that lacks its secret.
			if _, interactive := f.source.(Interactive); interactive {
				hints = slices.Insert(hints, 0, e.Hint)
			} else {
				hints = append(hints, e.Hint)
			}
		}
		if errors.Is(e, ErrNoCredential) {
			all.Err = ErrNoCredential
		}
	}
	all.Message = "no source has a token: " + strings.Join(messages, "; ")
	all.Hint = strings.Join(hints, "; or ")
	return all
}
