package token

import (
	"fmt"
	"time"
)

// Class says what kind of failure kept a source from yielding a token, and so
// what follows from it.
type Class int

// The classes of failure. The zero Class is [Unknown], which never opens a
// sign-in.
const (
	Unknown       Class = iota
	SignIn              // a person has to sign in
	Consent             // the application lacks consent
	Policy              // a policy forbids it; signing in would not help
	Misconfigured       // a setting is wrong; trying again would not help
	Transient           // the identity service is down, slow or throttling
	NotInstalled        // the tool that the source runs is not there
	Declined            // the person declined to sign in
)

var classNames = [...]string{"unknown", "sign-in needed", "consent missing", "blocked by policy", "misconfigured", "unavailable", "not installed", "declined"}

// String returns the class as users read it.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return fmt.Sprintf("class %d", int(c))
	}
	return classNames[c]
}

// Error is a failure to acquire a token. It never contains a token or a
// secret: sources build Message from what they know, not from output they
// have not looked at.
type Error struct {
	Class      Class
	Source     string        // credential that failed
	Code       string        // the identity service's own code, such as AADSTS50076
	Message    string        // what went wrong, one line
	Hint       string        // what to do about it: a command or a setting
	RetryAfter time.Duration // how long to wait, 0 if unknown
	Err        error         // cause, where a caller may look for it; may be nil

	// Stale reports whether the cause may be gone, as when somebody has signed
	// in since: the source is then worth asking again. It costs little, may be
	// called concurrently, and may be nil.
	Stale func() bool
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = e.Class.String()
	}
	if e.Code != "" {
		s = e.Code + ": " + s
	}
	if e.Source != "" {
		s = e.Source + ": " + s
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
