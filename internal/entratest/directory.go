package entratest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Client is a registered application, present in every tenant.
type Client struct {
	ID           string // client id (GUID)
	ObjectID     string // its service principal's; "" means one derived from ID
	Secrets      []string
	Certificates []*x509.Certificate
	Federated    []Federation
	Public       bool      // may sign people in without a credential of its own
	Managed      bool      // a managed identity; the first such client is the system-assigned one
	ResourceID   string    // of a managed identity: its Azure resource id
	Consents     []Consent // for what it does on behalf of users; nil means everything
}

// Resource is an API that tokens are for.
type Resource struct {
	ID      string   // application id (GUID); api://<ID> always names it too
	URIs    []string // further App ID URIs, such as https://vault.azure.net
	Version int      // of access tokens, 1 or 2; 0 means 1, as in an app manifest
	Roles   []string // app roles that every client has
	Scopes  []string // delegated scopes that every user gets
}

// User is a person who signs in.
type User struct {
	ObjectID string // GUID
	Username string // user principal name
	Name     string
}

// directory is what is registered. It does not change after Start.
type directory struct {
	tenants    []string
	subscribed []string
	clients    []Client
	resources  []Resource
}

func newDirectory(o Options) (directory, error) {
	if len(o.Tenants) == 0 {
		return directory{}, errors.New("simulated authority: no tenant given")
	}
	if o.Lifetime < 0 {
		return directory{}, fmt.Errorf("simulated authority: negative lifetime %s", o.Lifetime)
	}
	var d directory
	var errs []error
	id := func(kind, s string) string {
		if _, err := uuid.Parse(s); err != nil || len(s) != 36 {
			errs = append(errs, fmt.Errorf("simulated authority: %s %q is no GUID", kind, s))
		}
		return strings.ToLower(s)
	}
	for _, t := range o.Tenants {
		d.tenants = append(d.tenants, id("tenant", t))
	}
	for _, t := range o.Subscribed {
		d.subscribed = append(d.subscribed, id("tenant", t))
	}
	for _, c := range o.Clients {
		c.ID = id("client", c.ID)
		c.ObjectID = orDefault(c.ObjectID, principalID(c.ID))
		d.clients = append(d.clients, c)
	}
	for _, r := range o.Resources {
		r.ID = id("resource", r.ID)
		if r.Version < 0 || r.Version > 2 {
			errs = append(errs, fmt.Errorf("simulated authority: resource %s: no token version %d", r.ID, r.Version))
		}
		d.resources = append(d.resources, r)
	}
	if d.findResource(TokenExchange().ID) == nil {
		d.resources = append(d.resources, TokenExchange())
	}
	for _, c := range d.clients {
		errs = append(errs, d.checkConsents(c.Consents), d.checkIdentities(c))
	}
	return d, errors.Join(errs...)
}

func (d *directory) hasTenant(id string) bool {
	return slices.Contains(d.tenants, strings.ToLower(id))
}

// anyTenant reports whether a request leaves the tenant to whoever signs in,
// as az does when it is told none. Here that is the first one.
func anyTenant(id string) bool {
	return strings.EqualFold(id, "organizations") || strings.EqualFold(id, "common")
}

// issuerTenant is what issuers are said to contain where that tenant was
// asked. The braces are Entra's.
func issuerTenant(id string) string {
	if anyTenant(id) {
		return "{tenantid}"
	}
	return strings.ToLower(id)
}

// findClient returns the client with that id, or nil.
func (d *directory) findClient(id string) *Client {
	i := slices.IndexFunc(d.clients, func(c Client) bool { return strings.EqualFold(c.ID, id) })
	if i < 0 {
		return nil
	}
	return &d.clients[i]
}

// findResource returns the resource that an audience names, or nil: its id,
// api://<id>, or one of its URIs. As with Entra a trailing slash names the
// same resource.
func (d *directory) findResource(audience string) *Resource {
	audience = strings.TrimSuffix(audience, "/")
	i := slices.IndexFunc(d.resources, func(r Resource) bool {
		return strings.EqualFold(audience, r.ID) || strings.EqualFold(audience, "api://"+r.ID) ||
			slices.ContainsFunc(r.URIs, func(u string) bool { return strings.TrimSuffix(u, "/") == audience })
	})
	if i < 0 {
		return nil
	}
	return &d.resources[i]
}

// managed returns the managed identity that a request selects, or nil.
func (d *directory) managed(clientID, objectID, resourceID string) *Client {
	i := slices.IndexFunc(d.clients, func(c Client) bool {
		return c.Managed &&
			(clientID == "" || strings.EqualFold(c.ID, clientID)) &&
			(objectID == "" || strings.EqualFold(c.ObjectID, objectID)) &&
			(resourceID == "" || strings.EqualFold(c.ResourceID, resourceID))
	})
	if i < 0 {
		return nil
	}
	return &d.clients[i]
}
