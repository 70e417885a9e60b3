package source

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

// tool is one of Azure's command line tools, asked for tokens of one audience.
type tool struct {
	*Tools
	name   string // of the tool, and of the source
	tenant string // whose turn it waits for; "" is one too
	login  string // what signs in from a terminal
	client string // application ID that the tool signs in with
	get    string // what the hint of an odd answer has the user run

	noSession func(text string) bool // finds the words in which the tool says that nobody is signed in
	files     []string               // change when somebody signs in
}

// ask runs the tool with args and makes a token of what it prints. Its time is
// UTC: az before 2.54 prints when the token expires in local time alone, which
// means two times in the hour that a clock is set back.
func (t *tool) ask(ctx context.Context, args ...string) (token.Token, error) {
	done, err := t.turn(ctx, t.name+" "+t.tenant)
	if err != nil {
		return token.Token{}, t.ended(ctx, "another run of "+t.name+" did not end in time")
	}
	defer done()
	started := time.Now()
	stdout, stderr, err := t.run(ctx, run{sweep: true}, args...)
	if err != nil {
		return token.Token{}, t.failure(ctx, err, stderr)
	}
	value, expiry, err := parseOutput(stdout, started, time.UTC)
	if err != nil {
		return token.Token{}, t.fail(reason{token.Unknown, t.name + " " + err.Error(), "run in a terminal: " + t.get})
	}
	return t.token(value, expiry)
}

// run runs the tool with args, and what r says besides.
func (t *tool) run(ctx context.Context, r run, args ...string) (stdout, stderr []byte, err error) {
	path, err := t.find(programs(t.name)...)
	if err != nil {
		return nil, nil, err
	}
	r.argv = append([]string{path}, args...)
	r.env = append(t.env[:len(t.env):len(t.env)], "TZ=UTC0")
	r.dir, r.linger = t.dir, linger
	return r.do(ctx)
}

// token makes the token that the tool printed. A JSON object without an expiry
// is none of these tools', and a bare token neither.
func (t *tool) token(value string, expiry time.Time) (token.Token, error) {
	r := reason{token.Unknown, t.name + " printed something that is no token with an expiry", "run in a terminal: " + t.get}
	if len(value) > maxToken || expiry.IsZero() {
		return token.Token{}, t.fail(r)
	}
	got, err := token.New(value, t.name, expiry)
	if err != nil {
		return token.Token{}, t.fail(r)
	}
	if !time.Now().Before(expiry) {
		return token.Token{}, t.fail(reason{token.Transient, t.name + " gave a token that expired at " + expiry.UTC().Format(time.RFC3339), "check this machine's clock"})
	}
	return got, nil
}

// failure says why a run yielded nothing.
func (t *tool) failure(ctx context.Context, err error, stderr []byte) *token.Error {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, errTooLong):
		return t.fail(reason{token.Unknown, t.name + " " + errTooLong.Error(), "run in a terminal: " + t.get})
	case ctx.Err() != nil:
		return t.ended(ctx, t.name+" did not finish in time")
	case exited:
		return t.exited(exit.ExitCode(), stderr)
	case errors.Is(err, errNotThere):
		return t.fail(reason{token.Misconfigured, "there is no program at entra.az_path", "check entra.az_path, or leave it out to have az looked for"})
	case errors.Is(err, exec.ErrDot):
		return t.fail(reason{token.Misconfigured, t.name + " is in the current directory alone, which is not searched", "add the full path of its directory to PATH"})
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return t.absent(t.name + " is not installed, or not in PATH")
	case errors.Is(err, fs.ErrPermission):
		return t.fail(reason{token.Misconfigured, t.name + " may not be executed", "check the permissions of " + t.name})
	}
	return t.fail(reason{token.Unknown, t.name + " could not be run", "run in a terminal: " + t.get})
}

// exited says what a run that failed by itself means.
func (t *tool) exited(status int, stderr []byte) *token.Error {
	r, code := t.diagnose(stderr)
	// A shell, or our own script for PowerShell, found no program; cmd.exe has
	// a status of its own for that.
	if code == 0 && (status == 127 || status == 9009) {
		return t.absent(t.name + " lacks a program or module that it needs")
	}
	e := t.fail(r)
	if code != 0 {
		e.Code = aadsts.Name(code)
	}
	return e
}

func (t *tool) absent(message string) *token.Error {
	e := t.fail(reason{token.NotInstalled, message, "install " + t.name + " and run {login}"})
	e.Stale = func() bool {
		_, err := t.find(programs(t.name)...)
		return err == nil
	}
	return e
}

func (t *tool) ended(ctx context.Context, message string) *token.Error {
	e := t.fail(reason{token.Transient, message, tryLater})
	e.Err = ctx.Err()
	return e
}

// fail returns the error for r, which is stale once somebody signs in.
func (t *tool) fail(r reason) *token.Error {
	hint := strings.NewReplacer("{login}", t.login, azureCLI, t.client).Replace(r.hint)
	return &token.Error{Class: r.class, Source: t.name, Message: r.message, Hint: hint, Stale: watch(t.files)}
}

// same is the failure of a source that has no other token to give.
func (t *tool) same() *token.Error {
	e := t.fail(reason{token.SignIn, "gave the refused token again, and has no other until somebody signs in", "{login}"})
	e.Err = token.ErrSame
	return e
}
