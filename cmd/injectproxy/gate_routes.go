package main

import (
	"cmp"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
)

var gateModes = map[string]gate.Mode{"strict": gate.Strict, "optional": gate.Optional, "permissive": gate.Permissive}

// gateOptions are the decisions that the configuration makes: what serving needs
// besides is left to the caller.
func gateOptions(cfg *config.Gate) gate.Options {
	e := &cfg.Entra
	o := gate.Options{
		PublicURL: cfg.PublicURL, Hosts: cfg.Hosts, Routes: gateRoutes(cfg), BodyLimit: cfg.BodyLimit,
		Authority: cmp.Or(e.AuthorityHost, publicCloud), Tenants: e.Tenants, ClientID: e.ClientID, AppIDURI: e.AppIDURI,
	}
	if e.Shim {
		o.Shim = &gate.Shim{Client: e.ShimClient}
	}
	return o
}

// gateRoutes is the configuration's routes as the gate has them.
func gateRoutes(cfg *config.Gate) (routes []gate.Route) {
	for _, r := range cfg.Routes {
		routes = append(routes, gate.Route{
			Path: r.Path, Upstreams: r.Upstreams, Protocol: r.Protocol, UpstreamHost: r.Host, Timeout: r.Timeout, Mode: gateModes[r.Mode],
			Needs: gate.Needs{Scopes: r.Scopes, Roles: r.Roles}, Origins: r.Origins, Allow: r.Allow,
			Identity: gateIdentity(r.Identity), Tools: gateGrants(r.Tools), Resources: gateGrants(r.Resources), Prompts: gateGrants(r.Prompts),
		})
	}
	return routes
}

func gateIdentity(list []config.GateIdentity) (headers []gate.IdentityHeader) {
	for _, h := range list {
		headers = append(headers, gate.IdentityHeader{Name: h.Header, Of: h.Of})
	}
	return headers
}

func gateGrants(list []config.GateGrant) (grants []gate.Grant) {
	for _, g := range list {
		grants = append(grants, gate.Grant{Pattern: g.Pattern, Needs: gate.Needs{Scopes: g.Scopes, Roles: g.Roles}})
	}
	return grants
}
