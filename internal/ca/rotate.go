package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A rotation has two halves, so that trust can be rolled out in between: Rotate
// makes the next CA, with the same files, in a directory of its own, and Finish
// puts it in the place of the old one.
const (
	nextDir     = "next"
	retiredFile = "retired.pem" // roots that were in use or meant to be
)

// endsSoon is how long before its end a CA should be rotated: long enough to
// roll trust out.
const endsSoon = 60 * 24 * time.Hour

// EndsSoon reports whether the CA ends within 60 days.
func (a *Authority) EndsSoon() bool { return a.intermediate.NotAfter.Sub(a.now()) <= endsSoon }

// Rotate makes the CA that is to follow the one in dir, for permit, and returns
// it. The one in dir stays in use; it may be damaged or expired. Called again
// it returns the same, unless permit has changed or what it made cannot be
// used: then it is replaced. Without a CA in dir the error is an [*Error] for
// [io/fs.ErrNotExist]. A nil now means [time.Now].
func Rotate(dir string, permit Permit, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	if err := permit.check(); err != nil {
		return nil, err
	}
	unlock, _, err := lockToRotate(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	next := filepath.Join(dir, nextDir)
	if a, err := ensureThere(next, now); err == nil && a.permit.String() == permit.String() {
		return a, nil
	}
	if err := discardNext(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := inherit(next); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return ensureLocked(next, permit, now)
}

// Finish puts the CA that [Rotate] made in the place of the one in dir, and
// returns it. Whatever moment a crash picks, [Open] finds the old one or the
// new one, whole; Finish, or the next [Ensure], does the rest. Without a
// rotation the error is an [*Error] for [io/fs.ErrNotExist].
func Finish(dir string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	unlock, settled, err := lockToRotate(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if settled {
		return Open(dir, now)
	}
	next, err := ensureThere(filepath.Join(dir, nextDir), now)
	if err != nil {
		return nil, orNoRotation(dir, err)
	}
	for _, step := range finishing(dir, next) {
		if err := step(); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	return Open(dir, now)
}

// finishing returns the steps of a switch. Each happens whole or not at all,
// and does no harm when it is done again. The second one is the switch; those
// after it are what settle does.
func finishing(dir string, next *Authority) []func() error {
	return append([]func() error{
		func() error { return retire(dir, currentRoot(dir), next.root) },
		func() error {
			secret, err := next.encode()
			if err != nil {
				return err
			}
			return writeFile(filepath.Join(dir, secretFile), secret, 0o600)
		},
		func() error { return writeFile(filepath.Join(dir, rootFile), next.RootPEM(), 0o644) },
	}, removing(dir)...)
}

// Cancel gives up the CA that [Rotate] made. Its root counts as retired, as it
// may be trusted somewhere. Without a rotation the error is an [*Error] for
// [io/fs.ErrNotExist].
func Cancel(dir string) error {
	unlock, settled, err := lockToRotate(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if settled {
		return &Error{Path: dir, Reason: "the switch to the new CA has been made already", Hint: rotateHint}
	}
	if _, err := os.Stat(filepath.Join(dir, nextDir)); err != nil {
		return orNoRotation(dir, err)
	}
	return discardNext(dir)
}

// Next returns the CA that is to follow the one in dir, and changes nothing.
// If none is the error is an [*Error] for [io/fs.ErrNotExist]. A nil now means
// [time.Now].
func Next(dir string, now func() time.Time) (*Authority, error) {
	next := filepath.Join(dir, nextDir)
	a, err := Open(next, now)
	if err != nil {
		// A rotation that begins or ends at this moment is no damage.
		if _, gone := os.Stat(filepath.Join(next, rootFile)); gone != nil {
			err = gone
		}
		return nil, orNoRotation(dir, err)
	}
	if current := secretRoot(dir); current != nil && current.Equal(a.root) {
		return nil, noRotation(dir) // switched, and not yet tidied up
	}
	return a, nil
}

// Retired returns the roots that clients need no longer trust: those that were
// in use before a rotation, and those of rotations that were given up.
func Retired(dir string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(filepath.Join(dir, retiredFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	var retired []*x509.Certificate
	current, next := secretRoot(dir), secretRoot(filepath.Join(dir, nextDir))
	for _, c := range certificatesIn(data) {
		// A switch that was interrupted before it happened retired the one in use.
		if !c.Equal(current) && !c.Equal(next) {
			retired = append(retired, c)
		}
	}
	return retired, nil
}

func noRotation(dir string) error {
	return &Error{Path: dir, Reason: "no rotation is under way", Hint: rotateHint, Err: fs.ErrNotExist}
}

func orNoRotation(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return noRotation(dir)
	}
	return err
}
