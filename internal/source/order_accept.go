package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/injectproxy/injectproxy/internal/token"
)

// errNotAccepted is wrapped by the error of a source whose token the options
// do not accept.
var errNotAccepted = errors.New("not accepted")

// accept looks into t: the one place where a decision needs that. Managed
// identities know one tenant whatever they are asked, and a secret left in the
// environment would otherwise win over the person who is signed in.
func (o *Order) accept(s token.Source, t token.Token, stale func() bool) error {
	e := &token.Error{Class: token.Misconfigured, Source: t.Source(), Err: errNotAccepted, Stale: stale}
	switch who := t.Identity(); {
	case isGUID(o.o.Tenant) && who.TenantID != "" && !strings.EqualFold(o.o.Tenant, who.TenantID):
		e.Message = "its token is of tenant " + who.TenantID + ", not of " + o.o.Tenant
		e.Hint = remedy(s, "check tenant of the audience, and whose credential is configured here")
	case o.o.UserOnly && who.Kind != token.User:
		e.Message = fmt.Sprintf("its token is of %s, and identity is \"user\"", describe(who))
		e.Hint = remedy(s, `unset AZURE_CLIENT_SECRET and the like, or set sources = ["az"] for the audience`)
	default:
		return nil
	}
	return e
}

// describe names an identity that is no person's.
func describe(who token.Identity) string {
	switch {
	case who.Kind != token.Application:
		return "nobody that it names"
	case who.Name == "":
		return "an application"
	}
	return "the application " + who.Name
}

// remedy is what helps against a token of the wrong kind: a sign-in where the
// source has them, else what is said.
func remedy(s token.Source, otherwise string) string {
	if i, ok := s.(Interactive); ok {
		return i.Command("")
	}
	return otherwise
}

// watched is a source that can tell when somebody has signed in to it since.
type watched interface{ watch() (stale func() bool) }

func watchOf(s token.Source) func() bool {
	if w, ok := s.(watched); ok {
		return w.watch()
	}
	return nil
}

// isGUID reports whether s has the form of one; a tenant may be a domain too,
// which tokens do not name.
func isGUID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && only(s, "-")
}
