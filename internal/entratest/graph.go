package entratest

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// grantsPerPage is how many permission grants one answer has: few, so that whoever
// asks has to turn pages.
const grantsPerPage = 2

// Graph returns Microsoft Graph as a resource to register. Its Roles are what every
// application may do there: none. To read service principals takes
// Application.Read.All, permission grants DelegatedPermissionGrant.Read.All, and
// Directory.Read.All is good for both.
func Graph() Resource {
	return Resource{
		ID:     "00000003-0000-0000-c000-000000000000", // the same in every tenant
		URIs:   []string{"https://graph.microsoft.com"},
		Scopes: []string{"Files.Read", "Mail.Read", "User.Read"},
	}
}

// handleGraph serves what Microsoft Graph says of applications and of what was
// consented to for them.
func (a *Authority) handleGraph(mux *http.ServeMux) {
	handle := func(path string, f answer, roles ...string) {
		mux.Handle("GET /v1.0/"+path, a.endpoint(GraphEndpoint, a.graphCaller(f, roles)))
	}
	handle("servicePrincipals", a.filterPrincipals, "Application.Read.All", "Directory.Read.All")
	handle("{principal}", a.onePrincipal, "Application.Read.All", "Directory.Read.All")
	handle("servicePrincipals/{id}/oauth2PermissionGrants", a.listGrants, "DelegatedPermissionGrant.Read.All", "Directory.Read.All")
	handle("{principal}/oauth2PermissionGrants", a.listGrants, "DelegatedPermissionGrant.Read.All", "Directory.Read.All")
}

// graphCaller lets f answer an application that has one of roles.
func (a *Authority) graphCaller(f answer, roles []string) answer {
	return func(r *http.Request, seen Request) (any, *Failure) {
		claims, err := a.bearerClaims(r, Graph().ID)
		if err != nil {
			return nil, &Failure{Status: http.StatusUnauthorized, Error: "InvalidAuthenticationToken", Description: err.Error()}
		}
		has := texts(claims["roles"])
		if !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(has, role) }) {
			return nil, &Failure{Status: http.StatusForbidden, Error: "Authorization_RequestDenied", Description: "Insufficient privileges to complete the operation."}
		}
		return f(r, seen)
	}
}

// byApp reads servicePrincipals(appId='…').
var byApp = regexp.MustCompile(`^servicePrincipals\(appId='([^']*)'\)$`)

// askedPrincipal returns the service principal that the path names.
func (a *Authority) askedPrincipal(r *http.Request) (*principal, *Failure) {
	var app string
	if m := byApp.FindStringSubmatch(r.PathValue("principal")); m != nil {
		app = m[1]
	}
	if p := a.findPrincipal(r.PathValue("id"), app); p != nil {
		return p, nil
	}
	return nil, &Failure{Status: http.StatusNotFound, Error: "Request_ResourceNotFound", Description: "Resource '" + r.PathValue("id") + app + "' does not exist or one of its queried reference-property objects are not present."}
}

func (a *Authority) onePrincipal(r *http.Request, _ Request) (any, *Failure) {
	p, failure := a.askedPrincipal(r)
	if failure != nil {
		return nil, failure
	}
	return p.entity(), nil
}

// filters are what $filter may say, and nothing else.
var filters = regexp.MustCompile(`^(?:servicePrincipalNames/any\(([a-z]+):([a-z]+) eq '([^']*)'\)|appId eq '([^']*)')$`)

// filterPrincipals answers a search by name or application id.
//
// https://learn.microsoft.com/graph/api/serviceprincipal-list
func (a *Authority) filterPrincipals(r *http.Request, _ Request) (any, *Failure) {
	m := filters.FindStringSubmatch(r.Form.Get("$filter"))
	if m == nil || m[1] != m[2] {
		return nil, &Failure{Status: http.StatusBadRequest, Error: "Request_UnsupportedQuery", Description: "Unsupported or invalid query filter clause specified."}
	}
	found := []any{}
	for _, p := range a.principals() {
		if slices.Contains(p.names, m[3]) || strings.EqualFold(p.app, m[4]) { // one of the two is empty
			found = append(found, p.entity())
		}
	}
	return map[string]any{"value": found}, nil
}

// listGrants answers with a page of what was consented to for an application.
//
// https://learn.microsoft.com/graph/api/serviceprincipal-list-oauth2permissiongrants
func (a *Authority) listGrants(r *http.Request, _ Request) (any, *Failure) {
	p, failure := a.askedPrincipal(r)
	if failure != nil {
		return nil, failure
	}
	all := a.permissionGrants(p)
	from, err := strconv.Atoi(orDefault(r.Form.Get("$skiptoken"), "0"))
	if err != nil || from < 0 || from > len(all) {
		return nil, &Failure{Status: http.StatusBadRequest, Error: "Directory_ExpiredPageToken", Description: "The specified page token value has expired and can no longer be included in your request."}
	}
	to := min(from+grantsPerPage, len(all))
	page := map[string]any{"value": all[from:to]}
	if to < len(all) {
		next := url.URL{Scheme: "https", Host: a.graphHost(), Path: r.URL.Path, RawQuery: url.Values{"$skiptoken": {strconv.Itoa(to)}}.Encode()}
		page["@odata.nextLink"] = next.String()
	}
	return page, nil
}

// permissionGrants returns what was consented to for p, as oAuth2PermissionGrant.
//
// https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant
func (a *Authority) permissionGrants(p *principal) []any {
	all := []any{}
	if p.client == nil {
		return all
	}
	list, everything := a.consentsOf(p.client)
	if everything {
		for _, r := range a.resources {
			if len(r.Scopes) > 0 && r.ID != p.app {
				list = append(list, Consent{Resource: r.ID, Scopes: r.Scopes})
			}
		}
	}
	for _, c := range list {
		api := a.findPrincipal("", a.findResource(c.Resource).ID)
		grant := map[string]any{
			"id": principalID(p.id + api.id + c.User), "clientId": p.id, "consentType": "AllPrincipals",
			"principalId": nil, "resourceId": api.id, "scope": strings.Join(c.Scopes, " "),
		}
		if c.User != "" {
			grant["consentType"], grant["principalId"] = "Principal", c.User
		}
		all = append(all, grant)
	}
	return all
}

// graphHost is where Graph is, as the OpenID configuration says.
func (a *Authority) graphHost() string {
	if a.way != nil {
		return publicGraph
	}
	return strings.TrimPrefix(a.url, "https://")
}

// graphError returns f as Graph writes it.
//
// https://learn.microsoft.com/graph/errors
func (a *Authority) graphError(f Failure, id string) map[string]any {
	return map[string]any{"error": map[string]any{
		"code": orDefault(f.Error, "generalException"), "message": f.Description,
		"innerError": map[string]any{"date": a.now().UTC().Format("2006-01-02T15:04:05"), "request-id": id, "client-request-id": id},
	}}
}
