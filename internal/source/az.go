package source

import (
	"context"
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Az yields the tokens of whoever is signed in to the Azure CLI, and lets a
// person sign in to it. It is safe for concurrent use.
//
// az answers from a cache of its own that nothing passes by: until five
// minutes before its expiry a token comes again however often it is refused.
// Only a sign-in gives another one earlier.
type Az struct {
	tool  *tool
	scope string
	args  []string // of az account get-access-token

	// Whether az is known to take the claims of a challenge, as of when it was
	// asked last. What it does not take would make a command that fails.
	claims atomic.Bool
}

// Az returns the source of e's tokens from az. It runs nothing yet, and fails
// only on an invalid audience.
func (t *Tools) Az(e Entra) (*Az, error) {
	audience, err := e.Resolve()
	if err != nil {
		return nil, err
	}
	a := &Az{scope: audience.Scope, args: append([]string{"account", "get-access-token", "--output", "json"}, audience.AzArgs...)}
	if e.Tenant != "" {
		a.args = append(a.args, "--tenant", e.Tenant)
	}
	a.tool = &tool{
		Tools: t, name: "az", tenant: e.Tenant, client: azureCLI,
		login: loginCommand(e.Tenant, a.scope), get: "az account show",
		noSession: azSignedOut, files: azFiles(t.env),
	}
	return a, nil
}

// azFiles are what a sign-in changes (see "az login" in az's source).
func azFiles(env []string) []string {
	files := []string{azProfile(env)}
	for _, name := range []string{"msal_token_cache.json", "msal_token_cache.bin",
		"service_principal_entries.json", "service_principal_entries.bin"} {
		files = append(files, filepath.Join(azDir(env), name))
	}
	return files
}

// Token asks az for a token. If that is the one that was refused, the error
// is of class [token.SignIn]: it wraps [token.ErrSame] unless ask has claims,
// which a sign-in can meet.
func (a *Az) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	got, err := a.tool.ask(ctx, a.args...)
	if err != nil {
		return token.Token{}, a.challenged(ctx, err, ask.Claims)
	}
	if ask.Rejected.IsZero() || !got.Equal(ask.Rejected) {
		return got, nil
	}
	if ask.Claims == "" {
		return token.Token{}, a.tool.same()
	}
	e := a.tool.fail(reason{token.SignIn, "the API wants more of the sign-in than az has", "{login}"})
	return token.Token{}, a.challenged(ctx, e, ask.Claims)
}

// challenged returns err with claims in its hint, if that is a sign-in: one
// without them would soon be followed by another.
func (a *Az) challenged(ctx context.Context, err error, claims string) error {
	if e, ok := errors.AsType[*token.Error](err); ok && fit(claims) && strings.Contains(e.Hint, a.tool.login) {
		a.learn(ctx)
		e.Hint = strings.Replace(e.Hint, a.tool.login, a.Command(claims), 1)
	}
	return err
}

// watch implements [watched].
func (a *Az) watch() func() bool { return watch(a.tool.files) }

// Command is what signs in to the same from a terminal. The claims are in it
// only if az was found to take them (from 2.76), which each challenge makes
// [Az.Token] find out, and if they are not too long for a command.
func (a *Az) Command(claims string) string {
	if !fit(claims) || !a.claims.Load() {
		return a.tool.login
	}
	return a.tool.login + " --claims-challenge " + encodeClaims(claims)
}

// loginCommand is az's sign-in to an API. A tenant may have APIs and no
// subscription: az would sign the person in there, say that it failed, and
// forget it.
func loginCommand(tenant, scope string) string {
	command := "az login"
	if tenant != "" {
		command += " --tenant " + tenant
	}
	return command + " --scope " + scope + " --allow-no-subscriptions"
}

// mostClaims is how long a challenge may be that a tool is handed: cmd.exe,
// which runs az.cmd, takes 8191 characters.
const mostClaims = 4 << 10

// fit reports whether there are claims, and a tool can be handed them. It does
// without those that are too long: a sign-in may still bring what they want.
func fit(claims string) bool { return claims != "" && len(claims) <= mostClaims }

// encodeClaims is how az and azd take a claims challenge.
func encodeClaims(claims string) string { return base64.StdEncoding.EncodeToString([]byte(claims)) }
