package ca

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// The files of a CA's directory. The secret one holds all of the CA and is
// written first; ca.pem repeats its root for clients to trust. So whatever
// moment a crash picks, the directory holds no CA or a whole one.
const (
	secretFile = "intermediate.pem"
	rootFile   = "ca.pem"
	lockFile   = "lock"
)

// Open returns the CA in dir and changes nothing there: during a rotation the
// old one until [Finish] has switched, and from then on the new one, also if
// the switch was interrupted. So who wants to follow a rotation opens again and
// compares fingerprints. A nil now means [time.Now]. If there is none the error is an [*Error] for
// [io/fs.ErrNotExist]; one that is damaged, expired, not confined to its
// hosts, or whose files others can get at, is an [*Error] with its remedy.
func Open(dir string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	for {
		f, err := readFiles(dir)
		if err != nil {
			return nil, err
		}
		if f.root == nil {
			return nil, &Error{
				Path:   filepath.Join(dir, rootFile),
				Reason: "the file is missing",
				Hint:   "start injectproxy: it writes the file again",
				Err:    fs.ErrNotExist,
			}
		}
		a, err := f.authority(now)
		again := err != nil && f.changed()
		clear(f.secret)
		if !again {
			return a, err
		}
	}
}

// changed reports whether the directory has another CA by now, so that f may be
// of two of them.
func (f files) changed() bool {
	secret, err := readSecret(f.dir)
	return err == nil && !bytes.Equal(secret, f.secret)
}

// Ensure returns the CA in dir, and makes it for permit if there is none. What
// is there wins over permit, and what is there but unusable is refused as
// [Open] does, never replaced. Any number of processes may call Ensure at
// once: they agree on one CA. A nil now means [time.Now].
func Ensure(dir string, permit Permit, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	// A CA that is there needs no lock, and so no directory it could write to.
	a, err := Open(dir, now)
	if err == nil && a.behind {
		return catchUp(a)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if err := permit.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return ensureLocked(dir, permit, now)
}

// catchUp completes the switch that made a the CA of its directory. A directory
// that cannot be written to keeps nobody from using a.
func catchUp(a *Authority) (*Authority, error) {
	unlock, err := lock(a.dir)
	if err != nil {
		return a, nil
	}
	defer unlock()
	if _, err := settle(a.dir); err != nil {
		return a, nil
	}
	return Open(a.dir, a.now)
}

// lock waits until no other process changes the CA in dir.
func lock(dir string) (unlock func(), err error) {
	l := flock.New(filepath.Join(dir, lockFile))
	if err := l.Lock(); err != nil {
		return nil, fmt.Errorf("ca: locking %s: %w", dir, err)
	}
	return func() { l.Unlock() }, nil
}

func ensureLocked(dir string, permit Permit, now func() time.Time) (*Authority, error) {
	f, err := readFiles(dir)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createSecret(dir, permit, now())
	}
	if err != nil {
		return nil, err
	}
	defer clear(f.secret)
	a, err := f.authority(now)
	if err != nil || f.root != nil {
		return a, err
	}
	if err := writeFile(a.RootFile(), a.RootPEM(), 0o644); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return a, nil
}

func createSecret(dir string, permit Permit, now time.Time) (files, error) {
	c, err := generate(permit, now)
	if err != nil {
		return files{}, err
	}
	secret, err := c.encode()
	if err != nil {
		return files{}, err
	}
	removeLeftovers(dir)
	if err := writeFile(filepath.Join(dir, secretFile), secret, 0o600); err != nil {
		return files{}, fmt.Errorf("ca: %w", err)
	}
	return files{dir: dir, secret: secret}, nil
}

// removeLeftovers drops what a process that was killed in writeFile left of a
// CA that never was: it holds a key. Only the holder of the lock writes such
// files, so none is in use.
func removeLeftovers(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if ok, _ := filepath.Match(tempPattern(secretFile), e.Name()); ok {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// files is what a CA's directory holds, unparsed.
type files struct {
	dir    string
	secret []byte
	root   []byte // nil if missing
}

// readFiles reports a directory without a CA as an [*Error] for
// [fs.ErrNotExist].
func readFiles(dir string) (files, error) {
	f := files{dir: dir}
	if err := checkDir(dir); err != nil {
		return f, err
	}
	// In the reverse of the order in which they are written, so that a creation
	// at this moment never looks like a CA without its key.
	var noSecret, noRoot error
	f.root, noRoot = os.ReadFile(filepath.Join(dir, rootFile))
	f.secret, noSecret = readSecret(dir)
	switch absent := errors.Is(noSecret, fs.ErrNotExist); {
	case absent && errors.Is(noRoot, fs.ErrNotExist):
		return f, &Error{
			Path:   dir,
			Reason: "there is no CA yet",
			Hint:   "it is made by the first command that needs it: injectproxy serve",
			Err:    fs.ErrNotExist,
		}
	case absent:
		return f, &Error{
			Path:   filepath.Join(dir, secretFile),
			Reason: "the file is missing, and with it the key of the CA",
			Hint:   replaceHint,
		}
	case noSecret != nil:
		return f, noSecret
	case noRoot != nil && !errors.Is(noRoot, fs.ErrNotExist):
		return f, fmt.Errorf("ca: %w", noRoot)
	}
	return f, nil
}

// authority makes an Authority of f, or says what is wrong with which file.
func (f files) authority(now func() time.Time) (*Authority, error) {
	c, err := decodeSecret(f.secret)
	if err != nil {
		return nil, f.damaged(secretFile, err)
	}
	behind := false
	if f.root != nil {
		root, err := decodeRoot(f.root)
		if err != nil {
			return nil, f.damaged(rootFile, err)
		}
		if !root.Equal(c.root) {
			if behind, err = switching(f.dir, c.root); err != nil {
				return nil, f.damaged(rootFile, err)
			}
		}
	}
	a, err := newAuthority(c, f.dir, now)
	if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
		return nil, f.damaged(secretFile, err)
	}
	if err != nil {
		return nil, err
	}
	a.behind = behind
	return a, nil
}

func (f files) damaged(name string, err error) error {
	return &Error{Path: filepath.Join(f.dir, name), Reason: err.Error(), Hint: replaceHint}
}
