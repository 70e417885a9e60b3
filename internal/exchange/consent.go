package exchange

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// graphID is the application id of Microsoft Graph, the same in each cloud.
const graphID = "00000003-0000-0000-c000-000000000000"

// consentLimit bounds one look at what was consented to.
const consentLimit = 30 * time.Second

// ErrMayNotLook says that the gate's application may not read what was consented
// to. Directory.Read.All for Microsoft Graph lets it, as an application permission;
// or Application.Read.All with DelegatedPermissionGrant.Read.All.
var ErrMayNotLook = errors.New("the application may not read what was consented to: it would need the application permission Directory.Read.All of Microsoft Graph")

// CheckConsent returns the scopes that nobody has consented to for all users of
// tenant; none means that all is well. It asks Microsoft Graph, by the application's
// own credential. Consent of single users does not count: everybody else is refused
// without it, and nobody is asked for it on the way through a gate. The scope
// .default is there if any of its API is.
//
// The error is [ErrMayNotLook], or a *Refusal if there is no answer.
func (e *Exchanger) CheckConsent(ctx context.Context, tenant string) (missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, consentLimit)
	defer cancel()
	g, err := e.graph(ctx, tenant)
	if err != nil {
		return nil, err
	}
	own, err := g.principal(ctx, e.o.ClientID)
	if err != nil {
		return nil, err
	}
	for _, s := range e.o.Scopes {
		api, name := split(s)
		given, err := g.consented(ctx, own, api)
		if err != nil {
			return nil, err
		}
		there := slices.ContainsFunc(given, func(g string) bool { return strings.EqualFold(g, name) })
		if !there && (name != ".default" || len(given) == 0) {
			missing = append(missing, s)
		}
	}
	return missing, nil
}

// split returns the API that a scope is of, and its name there. One without an API
// is of Microsoft Graph.
func split(scope string) (api, name string) {
	i := strings.LastIndexByte(scope, '/')
	return cmp.Or(scope[:max(i, 0)], graphID), scope[i+1:]
}
