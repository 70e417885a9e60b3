package source

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

type env struct{ name string }

// NewEnv returns a source that yields the value of the environment variable
// name, read at each call. If the value is a JWT, its exp is the expiry. An
// unset, empty or expired variable is [token.Misconfigured]: the environment
// of a running process does not change.
func NewEnv(name string) token.Source { return env{name} }

func (e env) Token(context.Context, token.Ask) (token.Token, error) {
	hint := "set " + e.name + " to a valid token and start injectproxy again, or name another variable in token_env"
	value := os.Getenv(e.name)
	if value == "" {
		return token.Token{}, &token.Error{
			Class:   token.Misconfigured,
			Source:  "token_env",
			Message: "the environment variable " + e.name + " is not set",
			Hint:    hint,
		}
	}
	t, err := static("token_env", value, time.Time{}, hint)
	if te, ok := errors.AsType[*token.Error](err); ok {
		te.Class = token.Misconfigured
		te.Message = e.name + ": " + te.Message
	}
	return t, err
}
