package source

import (
	"context"
	"regexp"
	"runtime"

	"github.com/injectproxy/injectproxy/internal/token"
)

// deviceCode is the message that shows a device code (RFC 8628, section 3.3),
// in Entra's words. What follows the code shows that all of it is there.
var deviceCode = regexp.MustCompile(`open the page (https://[!-~]{1,200}) and enter the code ([A-Z0-9-]{4,16})[^A-Z0-9-]`)

// SignIn runs az login for the audience and its tenant and returns once that
// has ended; it never signs anybody out. It has no limit but ctx's, with which
// az ends too.
//
// Where there is no display to open a browser on, az shows a code instead. Of
// what az prints nothing is told but that. The claims go along where az is
// known to take them (from 2.76), unless they are too long for an argument.
//
// The sign-in leaves az's default subscription what it was, if it is still
// there afterwards: az itself would make it one of the tenant that was signed
// in to.
func (a *Az) SignIn(ctx context.Context, claims string, tell func(message string)) error {
	t := a.tool
	// Not the turn of the tokens: those come on while a person thinks.
	done, err := t.turn(ctx, "az login "+t.tenant)
	if err != nil {
		return t.ended(ctx, "another sign-in did not end in time")
	}
	defer done()
	args := a.loginArgs(fit(claims) && a.learn(ctx), claims)
	if codeNeeded(runtime.GOOS, t.env) {
		args = append(args, "--use-device-code")
	} else {
		tell("az login opens a web browser: sign in there")
	}
	t.defaults.begin(azProfile(t.env))
	defer t.defaults.end()
	_, stderr, err := t.run(ctx, run{watch: tellCode(tell)}, args...)
	switch {
	case err == nil:
		a.keepDefault(ctx)
		return nil
	case ctx.Err() != nil:
		return t.ended(ctx, "the sign-in was not finished in time")
	}
	return a.challenged(ctx, t.failure(ctx, err, stderr), claims)
}

// tellCode returns what tells a device code once it is in standard error. It
// may come without being asked for, as where az finds no browser.
func tellCode(tell func(string)) func(stderr []byte) {
	told := false
	return func(stderr []byte) {
		if m := deviceCode.FindSubmatch(stderr); m != nil && !told {
			told = true
			tell("to sign in, open " + string(m[1]) + " and enter the code " + string(m[2]))
		}
	}
}

func (a *Az) loginArgs(challenged bool, claims string) []string {
	args := []string{"login"}
	if a.tool.tenant != "" {
		args = append(args, "--tenant", a.tool.tenant)
	}
	args = append(args, "--scope", a.scope)
	if challenged {
		args = append(args, "--claims-challenge", encodeClaims(claims))
	}
	// A tenant may well have APIs and no subscription.
	return append(args, "--allow-no-subscriptions", "--output", "none")
}

// learn notes whether az takes claims, and reports it. It is asked each time: it
// may have been upgraded.
func (a *Az) learn(ctx context.Context) bool {
	takes := a.takesClaims(ctx)
	a.claims.Store(takes)
	return takes
}

// takesClaims reports whether az is known to take a claims challenge: an
// unknown argument would fail a sign-in that may do without.
func (a *Az) takesClaims(ctx context.Context) bool {
	version, err := a.Version(ctx)
	return err == nil && AtLeast(version, 2, 76)
}

// codeNeeded reports whether no browser can be opened in front of the user:
// on Linux and its like without a display, on the others in a remote session.
func codeNeeded(goos string, env []string) bool {
	has := func(name string) bool { v, _ := variable(env, name); return v != "" }
	if goos == "darwin" || goos == "windows" {
		return has("SSH_CONNECTION") || has("SSH_TTY")
	}
	return !has("DISPLAY") && !has("WAYLAND_DISPLAY")
}

var _ Interactive = (*Az)(nil)
var _ token.Source = (*azd)(nil)
var _ token.Source = (*powershell)(nil)
