package main

import (
	"context"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/exchange"
	"github.com/injectproxy/injectproxy/internal/gate"
)

// gateGets is what an upstream gets to know of a caller.
type gateGets struct {
	OnBehalfOf *gateBehalf    `json:"on_behalf_of,omitempty"` // nil: no token
	Identity   []callerHeader `json:"identity_headers,omitempty"`
}

// gateBehalf is the token that callers' are exchanged for.
type gateBehalf struct {
	Scopes     []string `json:"scopes"`
	Credential string   `json:"credential"`
	File       string   `json:"file"`
	Line       int      `json:"line"`
}

// callerHeader is a header that tells who calls.
type callerHeader struct {
	Header string `json:"header"`
	Of     string `json:"of"`
}

// getsOf returns what the upstreams of r get to know of a caller; nil for nothing, as
// of one who shows no token.
func getsOf(r config.GateRoute, anonymous bool) *gateGets {
	if anonymous || r.OnBehalfOf == nil && len(r.Identity) == 0 {
		return nil
	}
	gets := &gateGets{}
	if o := r.OnBehalfOf; o != nil {
		gets.OnBehalfOf = &gateBehalf{o.Scopes, credentialWords(o), o.Pos.File, o.Pos.Line}
	}
	for _, i := range r.Identity {
		gets.Identity = append(gets.Identity, callerHeader{i.Header, i.Of})
	}
	return gets
}

// credentialWords say how the gate proves who it is.
func credentialWords(o *config.GateOnBehalfOf) string {
	switch {
	case o.Certificate != "":
		return "certificate " + oneLine(o.Certificate)
	case o.SecretFile != "":
		return "secret of " + oneLine(o.SecretFile)
	case o.Identity != "":
		return o.Federated + " " + o.Identity
	}
	return o.Federated
}

// lines are what is got, one thing in each.
func (g *gateGets) lines() (lines []string) {
	if g == nil {
		return nil
	}
	if o := g.OnBehalfOf; o != nil {
		lines = append(lines, "a token on behalf of the user for "+strings.Join(o.Scopes, " ")+", by "+o.Credential+" ("+place(o.File, o.Line)+")")
	}
	for _, i := range g.Identity {
		line := i.Header + ": " + i.Of + " of the caller"
		if i.Of == "name" || i.Of == "username" {
			line += ", if it is of ASCII alone"
		}
		lines = append(lines, line)
	}
	return lines
}

// unasked stands for what exchanges tokens when the gate serves. Explaining asks
// nobody: the gate does not come as far.
type unasked struct{}

func (unasked) Exchange(context.Context, string, string) (string, error) {
	return "", &exchange.Refusal{Reason: exchange.Unavailable}
}

func (unasked) Again(context.Context, string, string, string, string) (string, error) {
	return "", &exchange.Refusal{Reason: exchange.Unavailable}
}

// asIfExchanged has the routes treat callers as they do when tokens are exchanged.
func asIfExchanged(cfg *config.Gate, routes []gate.Route) {
	for i, r := range cfg.Routes {
		if r.OnBehalfOf != nil {
			routes[i].OnBehalfOf = unasked{}
		}
	}
}
