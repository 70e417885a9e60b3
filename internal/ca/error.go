package ca

import "strconv"

// Error is a CA that cannot be used as it is, or not for this. Nothing has
// been changed on disk when it is returned.
type Error struct {
	Path   string // file or directory at fault, "" if there is none
	Reason string // what is wrong, one line
	Hint   string // what to do about it
	Err    error  // cause: [io/fs.ErrNotExist] if there is no CA yet; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The remedies for a CA that does not fit, as commands. A CA that is whole goes
// on while the next one is made and clients come to trust it; one that cannot
// be used has nothing to wait for.
const (
	rotateHint  = "injectproxy ca rotate"
	finishHint  = "injectproxy ca rotate --finish"
	replaceHint = rotateHint + ", then " + finishHint + ", and have clients trust the new root: injectproxy ca install"
)

// printable keeps a host that a client sent from writing into a terminal.
func printable(host string) string {
	const most = 80
	if len(host) > most {
		host = host[:most] + "…"
	}
	return strconv.QuoteToASCII(host)
}
