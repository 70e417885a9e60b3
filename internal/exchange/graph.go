package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPages bounds the pages of one list.
const maxPages = 32

// graph is Microsoft Graph of one tenant, asked by the application itself.
//
// https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant
type graph struct {
	wire   *wire
	host   string // and perhaps a port
	bearer string
	apis   map[string]string // ids of service principals, by name
}

// graph returns Graph as the tenant's authority names it.
func (e *Exchanger) graph(ctx context.Context, tenant string) (*graph, error) {
	c, err := e.client(tenant)
	if err != nil {
		return nil, err
	}
	r, err := c.AcquireTokenByCredential(ctx, []string{graphID + "/.default"})
	if err != nil {
		return nil, e.refusalOf(ctx, err)
	}
	g := &graph{wire: e.wire, bearer: r.AccessToken, apis: map[string]string{}}
	var said struct {
		Host string `json:"msgraph_host"`
	}
	if err := g.get(ctx, e.o.Authority+"/"+tenant+"/v2.0/.well-known/openid-configuration", "", &said); err != nil {
		return nil, err
	}
	if !isGraph(e.wire.authority, said.Host) {
		return nil, &Refusal{Reason: Misconfigured, Detail: "the authority does not say where Microsoft Graph is"}
	}
	g.host = said.Host
	return g, nil
}

// principal returns the id of the service principal with that application id.
func (g *graph) principal(ctx context.Context, app string) (id string, err error) {
	var p struct {
		ID string `json:"id"`
	}
	if err := g.get(ctx, g.url("/v1.0/servicePrincipals(appId='"+quote(app)+"')", "$select", "id"), g.bearer, &p); err != nil {
		return "", err
	}
	return p.ID, known(p.ID)
}

// api returns the id of the service principal of the API with that name.
func (g *graph) api(ctx context.Context, name string) (id string, err error) {
	if id = g.apis[name]; id != "" {
		return id, nil
	}
	var list struct {
		Value []struct {
			ID string `json:"id"`
		} `json:"value"`
	}
	where := "servicePrincipalNames/any(n:n eq '" + quote(name) + "')"
	if err := g.get(ctx, g.url("/v1.0/servicePrincipals", "$filter", where, "$select", "id"), g.bearer, &list); err != nil {
		return "", err
	}
	if len(list.Value) == 1 {
		id = list.Value[0].ID
	}
	g.apis[name] = id
	return id, known(id)
}

// grants is a page of a list of consents.
type grants struct {
	Value []struct {
		Type     string `json:"consentType"`
		Resource string `json:"resourceId"`
		Scope    string `json:"scope"`
	} `json:"value"`
	Next string `json:"@odata.nextLink"`
}

// consented returns the scopes of an API that own was given for everybody.
func (g *graph) consented(ctx context.Context, own, name string) (given []string, err error) {
	api, err := g.api(ctx, name)
	if err != nil {
		return nil, err
	}
	next := g.url("/v1.0/servicePrincipals/" + url.PathEscape(own) + "/oauth2PermissionGrants")
	for range maxPages {
		var page grants
		if err := g.get(ctx, next, g.bearer, &page); err != nil {
			return nil, err
		}
		for _, v := range page.Value {
			if v.Resource == api && v.Type == "AllPrincipals" {
				given = append(given, strings.Fields(v.Scope)...)
			}
		}
		if page.Next == "" {
			return given, nil
		}
		if u, err := url.Parse(page.Next); err != nil || u.Scheme != "https" || u.Host != g.host {
			return nil, flawedGraph("a list goes on elsewhere") // the token goes nowhere else
		}
		next = page.Next
	}
	return nil, flawedGraph("a list has no end")
}

// get reads what is at a URL, with the token bearer if there is one.
func (g *graph) get(ctx context.Context, at, bearer string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return flawedGraph("a list goes on elsewhere")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, body, err := g.wire.send(r)
	switch {
	case err != nil:
		if f, ok := errors.AsType[flawed](err); ok {
			return flawedGraph(string(f))
		}
		return unreached(ctx, err)
	case res.StatusCode == http.StatusForbidden:
		return ErrMayNotLook
	case res.StatusCode == http.StatusNotFound:
		return known("")
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return &Refusal{Reason: Unavailable, RetryAfter: retryAfter(res.Header), Detail: "Microsoft Graph is busy or down (HTTP " + strconv.Itoa(res.StatusCode) + ")"}
	case res.StatusCode != http.StatusOK:
		return flawedGraph("HTTP " + strconv.Itoa(res.StatusCode))
	case json.Unmarshal(body, into) != nil:
		return flawedGraph("no JSON as it should be")
	}
	return nil
}

// url returns a URL of Graph with a query of names and values.
func (g *graph) url(path string, query ...string) string {
	q := url.Values{}
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	u := url.URL{Scheme: "https", Host: g.host, Path: path, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	return u.String()
}

// quote escapes s for a string of OData.
func quote(s string) string { return strings.ReplaceAll(s, "'", "''") }

// known refuses an empty id.
func known(id string) error {
	if id == "" {
		return &Refusal{Reason: Misconfigured, Detail: "the tenant does not know the gate's application, or the API of a scope"}
	}
	return nil
}

func flawedGraph(what string) *Refusal {
	return &Refusal{Reason: Misconfigured, Detail: "the answer of Microsoft Graph was not understood (" + what + ")"}
}
