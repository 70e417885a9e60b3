package source

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"time"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

type command struct {
	origin
	argv   []string
	env    []string
	linger time.Duration
}

// NewCommand returns a source that runs argv at each call and yields what it
// prints: the bare token, or a JSON object with token, accessToken or
// access_token and optionally expires_on, expiresOn or expires_in. A bare
// token that is a JWT has its exp as expiry.
//
// There is no shell: argv[0] is looked up in PATH, standard input is empty,
// and env is the environment, nil for the process's own. The command runs in a
// process group of its own, which is killed whole when the context ends or
// when it prints more than 64 KiB.
//
// Nothing that a command prints reaches an error, as nobody can tell where in
// it a secret stands; its standard error is only searched for an AADSTS code.
func NewCommand(argv, env []string) token.Source {
	c := &command{argv: argv, env: env, linger: linger}
	c.origin = origin{key: "token_command", name: "the command", hint: "token_command is a list: the program, then its arguments"}
	if len(argv) > 0 {
		// The program alone: an argument may be a secret.
		c.name = argv[0]
		c.hint = "run the token_command that starts with " + argv[0] + " in a terminal: it has to print a token"
	}
	return c
}

func (c *command) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	if len(c.argv) == 0 || c.argv[0] == "" {
		return token.Token{}, c.fail(token.Misconfigured, "is empty")
	}
	started := time.Now()
	stdout, stderr, err := c.run(ctx)
	if err != nil {
		return token.Token{}, c.failure(ctx, err, stderr)
	}
	value, expiry, err := parseOutput(stdout, started, time.Local)
	if err != nil {
		return token.Token{}, c.fail(token.Misconfigured, err.Error())
	}
	t, err := c.token(value, expiry)
	if err != nil {
		return token.Token{}, err
	}
	return c.other(t, ask)
}

// run returns what the command printed.
func (c *command) run(ctx context.Context) (stdout, stderr []byte, err error) {
	env := c.env
	if env == nil {
		env = environ()
	}
	return run{argv: c.argv, env: env, linger: c.linger}.do(ctx)
}

// failure says why the command yielded nothing.
func (c *command) failure(ctx context.Context, err error, stderr []byte) error {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, errTooLong):
		return c.fail(token.Misconfigured, errTooLong.Error())
	case ctx.Err() != nil:
		e := c.fail(token.Transient, "did not finish in time")
		e.Err = ctx.Err()
		return e
	case exited && exit.ExitCode() == 127:
		return c.fail(token.NotInstalled, "could not find a program it runs (exit status 127)")
	case exited:
		e := c.fail(token.Unknown, "failed: "+exit.ProcessState.String())
		if code := aadsts.First(string(stderr)); code != 0 {
			r := explain(code)
			e.Class, e.Code = r.class, aadsts.Name(code)
			e.Message += ": " + r.message
		}
		return e
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return c.fail(token.NotInstalled, "is not installed, or not in PATH")
	case errors.Is(err, exec.ErrDot):
		return c.fail(token.Misconfigured, "is in the current directory, which is not searched: write its full path")
	case errors.Is(err, fs.ErrPermission):
		return c.fail(token.Misconfigured, "may not be executed")
	}
	return c.fail(token.Unknown, "could not be run")
}
