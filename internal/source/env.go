package source

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

type env struct {
	origin
	variable string
}

// NewEnv returns a source that yields the value of the environment variable
// name, read at each call. If the value is a JWT, its exp is the expiry. An
// unset, empty or expired variable is [token.Misconfigured]: the environment
// of a running process does not change.
func NewEnv(name string) token.Source {
	return env{variable: name, origin: origin{
		key:  "token_env",
		name: "the environment variable " + name,
		hint: "set " + name + " to a valid token and start injectproxy again, or name another variable in token_env",
	}}
}

func (e env) Token(_ context.Context, ask token.Ask) (token.Token, error) {
	value := os.Getenv(e.variable)
	if value == "" {
		return token.Token{}, e.fail(token.Misconfigured, "is not set")
	}
	t, err := e.token(value, time.Time{})
	if te, ok := errors.AsType[*token.Error](err); ok {
		te.Class = token.Misconfigured
		return token.Token{}, te
	}
	return e.other(t, ask)
}
