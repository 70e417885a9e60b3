package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/exchange"
	"github.com/injectproxy/injectproxy/internal/gate"
)

// exchangeResults are the words for what came of exchanging a token.
func exchangeResults() []string {
	return []string{
		"ok", string(exchange.Challenged), string(exchange.SignIn), string(exchange.Consent), string(exchange.Policy),
		string(exchange.Misconfigured), string(exchange.Unavailable),
	}
}

// apiExchanger exchanges tokens for one API, by one credential.
type apiExchanger struct {
	*exchange.Exchanger
	of     config.GateOnBehalfOf // that of the first route that asks for it
	routes []int
	warn   bool // of missing consent: one of its routes wants to know
}

// newExchangers returns what exchanges the tokens of the routes. Routes that have
// API and credential in common share what they were given, and a memory.
func (w *gateway) newExchangers(client *http.Client) (list []*apiExchanger, err error) {
	for i, r := range w.cfg.Routes {
		if r.OnBehalfOf == nil {
			continue
		}
		at := slices.IndexFunc(list, func(x *apiExchanger) bool { return sameAPI(x.of, *r.OnBehalfOf) })
		if at < 0 {
			x := &apiExchanger{of: *r.OnBehalfOf}
			if x.Exchanger, err = exchange.New(w.exchangeOptions(&x.of, client)); err != nil {
				return nil, fmt.Errorf("%s: [route.on_behalf_of]: %w", x.of.Pos, err)
			}
			at, list = len(list), append(list, x)
		}
		list[at].routes = append(list[at].routes, i)
		list[at].warn = list[at].warn || r.OnBehalfOf.WarnConsent
	}
	return list, nil
}

// sameAPI reports whether a and b ask for the same by the same credential.
func sameAPI(a, b config.GateOnBehalfOf) bool {
	sorted := func(o config.GateOnBehalfOf) string { return strings.Join(slices.Sorted(slices.Values(o.Scopes)), " ") }
	return sorted(a) == sorted(b) && credentialOf(&a) == credentialOf(&b)
}

func credentialOf(o *config.GateOnBehalfOf) exchange.Credential {
	return exchange.Credential{Certificate: o.Certificate, SecretFile: o.SecretFile, Federated: o.Federated, Identity: o.Identity}
}

func (w *gateway) exchangeOptions(o *config.GateOnBehalfOf, client *http.Client) exchange.Options {
	return exchange.Options{
		Authority: cmp.Or(w.cfg.Entra.AuthorityHost, publicCloud), ClientID: w.cfg.Entra.ClientID, Scopes: o.Scopes,
		Credential: credentialOf(o), HTTP: client, Now: w.around.now, Log: w.around.log, Observed: w.watch.metrics.Exchanged,
	}
}

// attach has the routes' tokens exchanged.
func attach(list []*apiExchanger, routes []gate.Route) {
	for _, x := range list {
		for _, i := range x.routes {
			routes[i].OnBehalfOf, routes[i].BehalfOf = x, x.of.Scopes
		}
	}
}
