package source

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/injectproxy/injectproxy/internal/token"
)

// azd yields the tokens of whoever is signed in to the Azure Developer CLI.
type azd struct {
	tool *tool
	args []string
}

// Azd returns the source of e's tokens from azd. It runs nothing yet, and
// fails only on an invalid audience.
//
// Claims make azd pass its cache by (from 1.18.1): so does a refused token,
// with claims that claim nothing. Claims that azd cannot meet silently it
// keeps for the next azd auth login.
func (t *Tools) Azd(e Entra) (token.Source, error) {
	audience, err := e.Resolve()
	if err != nil {
		return nil, err
	}
	args := []string{"--scope", audience.Scope}
	if e.Tenant != "" {
		args = append(args, "--tenant-id", e.Tenant)
	}
	login := "azd auth login --scope " + audience.Scope
	if e.Tenant != "" {
		login = "azd auth login --tenant-id " + e.Tenant + " --scope " + audience.Scope
	}
	return &azd{
		args: append([]string{"auth", "token", "--output", "json", "--no-prompt"}, args...),
		tool: &tool{Tools: t, name: "azd", tenant: e.Tenant, client: azureCLI, login: login, get: "azd auth login --check-status",
			noSession: azdSignedOut, files: azdFiles(t.env)},
	}, nil
}

func azdFiles(env []string) []string {
	dir, _ := variable(env, "AZD_CONFIG_DIR")
	if dir == "" {
		dir = filepath.Join(home(env), ".azd")
	}
	var files []string
	for _, name := range []string{"config.json", "auth", "auth/msal", "auth/msal/cache.json", "auth/msal/cache.bin"} {
		files = append(files, filepath.Join(dir, name))
	}
	return files
}

// azdOutdated is what an azd before 1.18.1 means, which takes no claims.
var azdOutdated = reason{token.Misconfigured, "this version cannot be made to give another token", "update azd to 1.18.1 or later"}

// Token asks azd for a token.
func (a *azd) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	args := a.args
	claims := ask.Claims
	if forced(ask) && !fit(claims) {
		claims = "{}"
	}
	if claims != "" {
		args = append(args[:len(args):len(args)], "--claims", encodeClaims(claims))
	}
	got, err := a.tool.ask(ctx, args...)
	switch e, _ := errors.AsType[*token.Error](err); {
	case err == nil && !ask.Rejected.IsZero() && got.Equal(ask.Rejected):
		return token.Token{}, a.tool.same()
	case e != nil && e.Message == azdOutdated.message && ask.Claims == "":
		e.Err = token.ErrSame // without the flag it would give no other
	}
	return got, err
}
