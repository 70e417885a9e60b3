// Package token holds what every credential source yields and what every
// route attaches: a [Token] that cannot be printed, the [Source] it comes
// from, and the [Cache] between the two.
//
// The package refuses to show a token by accident: formatting or marshalling a
// [Token], or anything that holds one, yields its fingerprint or an address.
// Only [Token.Reveal] returns the value.
package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unique"
)

// Token is a bearer token. The zero Token is no token at all: [Token.IsZero]
// reports true. Tokens are values; they may be copied and used concurrently.
type Token struct {
	// A handle and not a string: fmt calls no method of an unexported field, nor
	// of an operand whose verb is wrong (%p, %w), and prints by reflection. There
	// it meets a pointer, and prints the address.
	value       unique.Handle[string]
	source      string
	expiry      time.Time
	fingerprint string // of the value; each request's record has it
}

// New returns the token with the given value. Source names the credential it
// came from, for logs; expiry is when it ends, the zero time if that is
// unknown (such a token is never refreshed on its own).
//
// One trailing newline of value, LF or CRLF, is dropped. A value that is empty
// or has anything but visible ASCII is refused with an [*Error] of class
// [Misconfigured] that does not contain it.
func New(value, source string, expiry time.Time) (Token, error) {
	if line, ok := strings.CutSuffix(value, "\n"); ok {
		value = strings.TrimSuffix(line, "\r")
	}
	if value == "" {
		return Token{}, &Error{Class: Misconfigured, Source: source, Message: "the source returned an empty token"}
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' {
			return Token{}, &Error{Class: Misconfigured, Source: source,
				Message: fmt.Sprintf("the token has a byte that no header may carry (0x%02x at offset %d)", c, i)}
		}
	}
	sum := sha256.Sum256([]byte(value))
	return Token{value: unique.Make(value), source: source, expiry: expiry, fingerprint: hex.EncodeToString(sum[:4])}, nil
}

// Reveal returns the token's value, for the one place that puts it into a
// header. The zero Token's is "".
func (t Token) Reveal() string {
	if t.IsZero() {
		return ""
	}
	return t.value.Value()
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.value == unique.Handle[string]{} }

// Source names the credential that t came from.
func (t Token) Source() string { return t.source }

// Expiry returns when t ends, or the zero time if that is unknown.
func (t Token) Expiry() time.Time { return t.expiry }

// Equal reports whether t and u have the same value, whatever their source
// and expiry. It takes the same time wherever they differ.
func (t Token) Equal(u Token) bool { return t.value == u.value }

// Fingerprint returns the first 8 hex digits of the SHA-256 of the value, ""
// for the zero Token. It is what logs may carry.
func (t Token) Fingerprint() string { return t.fingerprint }

// String returns the fingerprint in a form that cannot be mistaken for the
// token.
func (t Token) String() string { return "token:" + t.Fingerprint() }

// Format writes [Token.String] for every verb and flag, so that no %v, %#v or
// %x reaches the value.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements [encoding.TextMarshaler], and through it JSON.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Source yields tokens for one audience. Implementations are safe for
// concurrent use, return promptly once ctx ends, and report failures as
// [*Error] where they know the class. No error's text holds a token or a
// secret.
type Source interface {
	Token(ctx context.Context, ask Ask) (Token, error)
}

// Watched is a [Source] that can tell at little cost whether it would now yield
// something else than last time, as a file that has been replaced. The [Cache]
// asks at each use, and asks for the token anew when the answer is yes.
// Changed is safe for concurrent use.
type Watched interface {
	Source
	Changed() bool
}

// Ask says what kind of token is wanted. The zero Ask takes any valid one,
// caches included.
type Ask struct {
	// Rejected is a token that the upstream refused. A source that keeps a
	// cache of its own must go around it as far as it can. It may still
	// return the same token: the caller compares.
	Rejected Token

	// Claims is the decoded JSON object of a claims challenge, or "".
	Claims string

	// Quiet says that nobody waits for the token: the old one still serves. A
	// source that could ask a person does not.
	Quiet bool
}
