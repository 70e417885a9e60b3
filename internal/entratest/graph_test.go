package entratest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// reading registers Graph, where every application has those roles.
func reading(roles ...string) func(*entratest.Options) {
	return func(o *entratest.Options) {
		graph := entratest.Graph()
		graph.Roles = roles
		o.Resources = append(o.Resources, graph)
	}
}

type servicePrincipal struct {
	ID    string
	AppID string
	Names []string `json:"servicePrincipalNames"`
}

type permissionGrant struct {
	ID, ClientID, ConsentType, ResourceID, Scope string
	PrincipalID                                  *string
}

// graphAnswer is any of Graph's answers.
type graphAnswer struct {
	servicePrincipal
	Value []json.RawMessage
	Next  string `json:"@odata.nextLink"`
	Error struct{ Code, Message string }
}

// ownToken returns the client's own token for Graph, as it gets it itself.
func ownToken(t *testing.T, a *entratest.Authority) string {
	t.Helper()
	return mustGet(t, secretCredential(t, a, secret), "https://graph.microsoft.com/.default")
}

// byFilter is the path of a search.
func byFilter(filter string) string {
	return "servicePrincipals?" + url.Values{"$filter": {filter}, "$select": {"id"}}.Encode()
}

func TestGraphKnowsServicePrincipals(t *testing.T) {
	t.Parallel()
	a := start(t, middle, reading("Application.Read.All"))
	bearer := ownToken(t, a)
	host := graphOf(t, a)
	own, err := a.Validate(bearer, "https://graph.microsoft.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path          string
		status, found int
		app           string
	}{
		{"servicePrincipals(appId='" + app + "')", 200, -1, app},
		{"servicePrincipals(appId='" + unpaid + "')", 404, -1, ""},
		{"users", 404, -1, ""},
		{byFilter("servicePrincipalNames/any(n:n eq 'https://graph.microsoft.com')"), 200, 1, entratest.Graph().ID},
		{byFilter("servicePrincipalNames/any(x:x eq 'api://gate.example')"), 200, 1, app},
		{byFilter("servicePrincipalNames/any(n:n eq 'https://nonesuch.example')"), 200, 0, ""},
		{byFilter("appId eq '" + apiV2 + "'"), 200, 1, apiV2},
		{byFilter("servicePrincipalNames/any(n:x eq '" + vault + "')"), 400, 0, ""},
		{byFilter("startswith(displayName,'a')"), 400, 0, ""},
		{"servicePrincipals", 400, 0, ""},
	} {
		var got graphAnswer
		status := fetch(t, a, bearer, host+"/v1.0/"+tt.path, &got)
		if status != tt.status || tt.found >= 0 && len(got.Value) != tt.found || (got.Error.Code == "") != (status == 200) {
			t.Errorf("%s: status %d, %+v", tt.path, status, got)
			continue
		}
		one := got.servicePrincipal
		if tt.found == 1 {
			if err := json.Unmarshal(got.Value[0], &one); err != nil {
				t.Fatal(err)
			}
		}
		if one.AppID != tt.app || (one.ID == own["oid"]) != (tt.app == app) {
			t.Errorf("%s: %+v", tt.path, one)
		}
	}
}

// graphOf returns where the OpenID configuration says that Graph is.
func graphOf(t *testing.T, a *entratest.Authority) string {
	t.Helper()
	var found struct {
		Host string `json:"msgraph_host"`
	}
	fetch(t, a, "", a.URL()+"/"+tenant+"/v2.0/.well-known/openid-configuration", &found)
	return "https://" + found.Host
}

// permissionGrants returns what was consented to for the client, and how many
// pages that took.
func permissionGrants(t *testing.T, a *entratest.Authority) (all []permissionGrant, pages int) {
	t.Helper()
	bearer := ownToken(t, a)
	own, err := a.Validate(bearer, entratest.Graph().ID)
	if err != nil {
		t.Fatal(err)
	}
	next := graphOf(t, a) + "/v1.0/servicePrincipals/" + own["oid"].(string) + "/oauth2PermissionGrants"
	for ; next != ""; pages++ {
		var page graphAnswer
		if status := fetch(t, a, bearer, next, &page); status != 200 {
			t.Fatalf("%s: status %d, %+v", next, status, page)
		}
		for _, raw := range page.Value {
			var g permissionGrant
			if err := json.Unmarshal(raw, &g); err != nil {
				t.Fatal(err)
			}
			if all = append(all, g); g.ID == "" || g.ClientID != own["oid"] {
				t.Errorf("granted %+v to %v", g, own["oid"])
			}
		}
		next = page.Next
	}
	return all, pages
}

func TestGraphListsWhatWasConsentedToInPages(t *testing.T) {
	t.Parallel()
	a := start(t, middle, reading("DelegatedPermissionGrant.Read.All"))
	if all, pages := permissionGrants(t, a); len(all) != 3 || pages != 2 {
		t.Errorf("with consent to everything: %d grants on %d pages, want 3 on 2", len(all), pages)
	}
	if err := a.SetConsents(app, []entratest.Consent{}); err != nil {
		t.Fatal(err)
	}
	if all, pages := permissionGrants(t, a); len(all) != 0 || pages != 1 {
		t.Errorf("without consent: %+v on %d pages", all, pages)
	}
	consents := []entratest.Consent{
		{Resource: "https://graph.microsoft.com", Scopes: []string{"User.Read", "Mail.Read"}},
		{Resource: "https://graph.microsoft.com", Scopes: []string{"Files.Read"}, User: ada.ObjectID},
	}
	if err := a.SetConsents(app, consents); err != nil {
		t.Fatal(err)
	}
	all, pages := permissionGrants(t, a)
	if len(all) != 2 || pages != 1 {
		t.Fatalf("%+v on %d pages", all, pages)
	}
	if g := all[0]; g.ConsentType != "AllPrincipals" || g.PrincipalID != nil || g.Scope != "User.Read Mail.Read" {
		t.Errorf("an administrator's consent is %+v", g)
	}
	if g := all[1]; g.ConsentType != "Principal" || g.PrincipalID == nil || *g.PrincipalID != ada.ObjectID || g.Scope != "Files.Read" {
		t.Errorf("a user's consent is %+v", g)
	}
	if all[0].ResourceID != all[1].ResourceID || all[0].ID == all[1].ID {
		t.Errorf("%+v", all)
	}
}

func TestGraphRefuses(t *testing.T) {
	t.Parallel()
	const principals, grants = "servicePrincipals(appId='" + app + "')", "servicePrincipals(appId='" + app + "')/oauth2PermissionGrants"
	bare, looking, all := start(t, reading()), start(t, reading("Application.Read.All")), start(t, reading("Directory.Read.All"))
	user, err := all.Issue(entratest.Grant{Client: app, Audience: "https://graph.microsoft.com", User: &ada})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		a            *entratest.Authority
		bearer, path string
		status       int
		code         string
	}{
		{"no token", all, "", grants, 401, "InvalidAuthenticationToken"},
		{"another API's token", all, mustGet(t, secretCredential(t, all, secret), vault+"/.default"), grants, 401, "InvalidAuthenticationToken"},
		{"another authority's token", all, ownToken(t, bare), grants, 401, "InvalidAuthenticationToken"},
		{"a user's token", all, user, grants, 403, "Authorization_RequestDenied"},
		{"no role", bare, ownToken(t, bare), principals, 403, "Authorization_RequestDenied"},
		{"the role for principals", looking, ownToken(t, looking), principals, 200, ""},
		{"the role for principals alone", looking, ownToken(t, looking), grants, 403, "Authorization_RequestDenied"},
		{"a role for both", all, ownToken(t, all), grants, 200, ""},
		{"nobody's grants", all, ownToken(t, all), "servicePrincipals/" + unpaid + "/oauth2PermissionGrants", 404, "Request_ResourceNotFound"},
		{"a page that is none", all, ownToken(t, all), grants + "?$skiptoken=99", 400, "Directory_ExpiredPageToken"},
		{"a page before the first", all, ownToken(t, all), grants + "?$skiptoken=-1", 400, "Directory_ExpiredPageToken"},
	} {
		var got graphAnswer
		status := fetch(t, tt.a, tt.bearer, tt.a.URL()+"/v1.0/"+tt.path, &got)
		if status != tt.status || got.Error.Code != tt.code || (got.Error.Message == "") != (status == 200) {
			t.Errorf("%s: status %d, %+v", tt.name, status, got.Error)
		}
	}
	defer all.Fail(entratest.Failure{Endpoint: entratest.GraphEndpoint, Status: http.StatusServiceUnavailable, Error: "serviceNotAvailable"})()
	var got graphAnswer
	if status := fetch(t, all, ownToken(t, all), all.URL()+"/v1.0/"+grants, &got); status != 503 || got.Error.Code != "serviceNotAvailable" {
		t.Errorf("with a failure in effect: status %d, %+v", status, got.Error)
	}
	if n := all.Count(entratest.Request{Endpoint: entratest.GraphEndpoint, Status: 401}); n != 3 {
		t.Errorf("%d refusals were recorded, want 3", n)
	}
}

func TestGraphOfThePublicCloudIsReachedByItsName(t *testing.T) {
	t.Parallel()
	a := start(t, reading("Directory.Read.All"), func(o *entratest.Options) { o.Public = true })
	host := graphOf(t, a)
	if !strings.HasSuffix(host, "//graph.microsoft.com") {
		t.Errorf("Graph is at %s", host)
	}
	bearer, err := a.Issue(entratest.Grant{Client: app, Audience: "https://graph.microsoft.com"})
	if err != nil {
		t.Fatal(err)
	}
	var got graphAnswer
	if status := fetch(t, a, bearer, host+"/v1.0/servicePrincipals(appId='"+app+"')", &got); status != 200 || got.AppID != app {
		t.Errorf("status %d, %+v", status, got)
	}
}
