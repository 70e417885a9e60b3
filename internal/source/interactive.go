package source

import (
	"context"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Interactive is a source that a person can sign in to.
type Interactive interface {
	token.Source

	// SignIn lets a person sign in, and returns once that is done or declined
	// ([token.Declined]), has failed, or ctx ends. Claims is a decoded claims
	// challenge, or "". What the person has to know, such as a code to type in,
	// goes to tell, perhaps several times and from another goroutine, but never
	// after SignIn has returned.
	SignIn(ctx context.Context, claims string, tell func(message string)) error

	// Command is what signs in to the same from a terminal.
	Command(claims string) string
}
