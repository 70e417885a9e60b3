package entratest

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// principal is an application or API as the tenant has it.
type principal struct {
	id, app string
	names   []string
	client  *Client // nil for one that is an API only
}

// principals returns all there are. One that is registered as both a client and a
// resource is one.
func (a *Authority) principals() (all []principal) {
	for i := range a.clients {
		c := &a.clients[i]
		all = append(all, principal{id: c.ObjectID, app: c.ID, names: []string{c.ID}, client: c})
	}
	for _, r := range a.resources {
		names := append([]string{"api://" + r.ID}, r.URIs...)
		if i := slices.IndexFunc(all, func(p principal) bool { return p.app == r.ID }); i >= 0 {
			all[i].names = append(all[i].names, names...)
			continue
		}
		all = append(all, principal{id: principalID(r.ID), app: r.ID, names: append(names, r.ID)})
	}
	return all
}

// principalID returns the object id of a service principal that was given none.
func principalID(app string) string { return uuid.NewSHA1(uuid.Nil, []byte(app)).String() }

// findPrincipal returns the one with that id or application id, of which "" is
// nobody's, or nil.
func (a *Authority) findPrincipal(id, app string) *principal {
	all := a.principals()
	i := slices.IndexFunc(all, func(p principal) bool { return strings.EqualFold(p.id, id) || strings.EqualFold(p.app, app) })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// entity returns p as Graph describes it.
//
// https://learn.microsoft.com/graph/api/resources/serviceprincipal
func (p principal) entity() map[string]any {
	return map[string]any{"id": p.id, "appId": p.app, "displayName": "Simulated " + p.app, "servicePrincipalNames": p.names}
}
