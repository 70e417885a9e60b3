package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	settleTries = 20                    // reads of a file that is being written
	settleWait  = 25 * time.Millisecond // between two of them
	// racy is how young a file may be for its times to be no proof that it
	// did not change: file systems count in ticks, some in whole seconds.
	racy = 2 * time.Second
)

// errUnsettled says that a file was empty or changed while it was read.
var errUnsettled = errors.New("is being written")

type file struct {
	origin
	path string

	mu   sync.Mutex
	info fs.FileInfo // of the file that tok was read from
	tok  token.Token
}

// NewFile returns a source that yields what the file at path holds. Each call
// looks at the file, and reads it again if it changed, so that a call costs
// little. If the content is a JWT, its exp is the expiry. A file that is
// empty or changes under the reader is read again for up to half a second.
//
// What is no regular file, is larger than 64 KiB, or may be written by every
// user of the machine is refused. Who may read it is the user's business.
func NewFile(path string) token.Source {
	return &file{path: path, origin: origin{
		key:  "token_file",
		name: path,
		hint: "write a valid token to " + path + ", or name another file in token_file",
	}}
}

func (f *file) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	if t, ok := f.unchanged(); ok && !forced(ask) {
		return t, nil
	}
	for try := 1; ; try++ {
		t, err := f.read()
		if err == nil {
			return f.other(t, ask)
		}
		if !errors.Is(err, errUnsettled) {
			return token.Token{}, err
		}
		if try == settleTries {
			return token.Token{}, f.fail(token.Misconfigured, "is empty or written all the time")
		}
		select {
		case <-ctx.Done():
			e := f.fail(token.Transient, "is being written")
			e.Err = ctx.Err()
			return token.Token{}, e
		case <-time.After(settleWait):
		}
	}
}

// Changed implements [token.Watched]. A file that is not there for a moment
// has not changed: what it held is still what there is.
func (f *file) Changed() bool {
	f.mu.Lock()
	before := f.info
	f.mu.Unlock()
	if before == nil {
		return false
	}
	info, err := os.Stat(f.path)
	return err == nil && !same(info, before)
}

// unchanged returns the token read last, if the file is still the same.
func (f *file) unchanged() (token.Token, bool) {
	f.mu.Lock()
	tok, before := f.tok, f.info
	f.mu.Unlock()
	now := time.Now()
	if tok.IsZero() || !tok.Expiry().IsZero() && !now.Before(tok.Expiry()) {
		return token.Token{}, false
	}
	info, err := os.Stat(f.path)
	if err != nil || !same(info, before) || now.Sub(info.ModTime()) < racy {
		return token.Token{}, false
	}
	return tok, true
}

func (f *file) read() (token.Token, error) {
	before, err := os.Stat(f.path)
	if err != nil {
		return token.Token{}, f.unreadable(err)
	}
	if err := f.refuse(before); err != nil {
		return token.Token{}, err
	}
	value, err := readAtMost(f.path, maxToken+1)
	if err != nil {
		return token.Token{}, f.unreadable(err)
	}
	if after, err := os.Stat(f.path); err != nil || len(value) == 0 || !same(before, after) {
		return token.Token{}, errUnsettled
	}
	t, err := f.token(value, time.Time{})
	if err != nil {
		return token.Token{}, err
	}
	f.mu.Lock()
	f.tok, f.info = t, before
	f.mu.Unlock()
	return t, nil
}

func (f *file) refuse(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		// Not even opened: a FIFO would block.
		return f.fail(token.Misconfigured, "is not a regular file")
	case runtime.GOOS != "windows" && mode.Perm()&0o002 != 0:
		e := f.fail(token.Misconfigured, "may be written by every user of this machine")
		e.Hint = "chmod o-w " + f.path
		return e
	}
	return nil
}

func (f *file) unreadable(err error) error {
	// The message of a PathError is the system's; it holds nothing of the file.
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return f.fail(token.Misconfigured, fmt.Sprintf("cannot be read: %v", err))
}

func readAtMost(path string, n int64) (string, error) {
	r, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, n))
	return string(b), err
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Mode() == b.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
