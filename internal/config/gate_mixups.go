package config

import (
	"slices"
	"strings"
)

// known are GUIDs of Microsoft's that end up where one's own belong.
var known = [...]struct{ guid, name string }{
	{"00000003-0000-0000-c000-000000000000", "Microsoft Graph"},
	{"00000002-0000-0000-c000-000000000000", "Azure AD Graph"},
	{"04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Azure CLI"},
	{"1950a258-227b-4e31-a9cf-717495945fc2", "Azure PowerShell"},
	{"797f4846-ba00-4fd7-ba43-dac1f8f63013", "Azure Resource Manager"},
	{"aebc6443-996d-45c2-90f0-388ff96faa56", "Visual Studio Code"},
}

// outside are tenants that are nobody's company.
var outside = [...]struct{ guid, name string }{
	{"9188040d-6c67-4c5b-b112-36a304b66dad", "all personal Microsoft accounts"},
	{"f8cdef31-a31e-4b4a-93e4-5f571e91255a", "Microsoft's own services"},
	{"72f988bf-86f1-41af-91ab-2d7cd011db47", "Microsoft's employees"},
}

// KnownApplication returns the name of the application of Microsoft's that has
// this client ID, or "".
func KnownApplication(guid string) string {
	for _, k := range known {
		if strings.EqualFold(k.guid, guid) {
			return k.name
		}
	}
	return ""
}

// KnownTenant returns whose tenant this is, if it is one that everybody can have
// an account in, or Microsoft's; else "".
func KnownTenant(guid string) string {
	for _, k := range outside {
		if strings.EqualFold(k.guid, guid) {
			return k.name
		}
	}
	return ""
}

// mixUps reports the GUIDs that the field puts in each other's places. An object
// id cannot be told from a client id here: a sample token can.
func (g *Gate) mixUps(t *table) {
	e := &g.Entra
	own := e.ClientID
	switch name := KnownApplication(own); {
	case own == "":
	case name != "":
		t.errorf(t.at("client_id"), "entra.client_id is that of %s", name).hint("the client ID of your own registration, whose tokens the gate accepts")
	case KnownTenant(own) != "":
		t.errorf(t.at("client_id"), "entra.client_id is a tenant: that of %s", KnownTenant(own))
	}
	for i, tenant := range e.Tenants {
		at := t.elementAt("tenants", i)
		switch {
		case tenant == own:
			t.errorf(at, "entra.tenants and entra.client_id have the same GUID; one of them is in the wrong place").hint("az account show --query tenantId; az ad app show --id … --query appId")
		case KnownApplication(tenant) != "":
			t.errorf(at, "entra.tenants: %s is an application, %s", tenant, KnownApplication(tenant))
		case KnownTenant(tenant) != "":
			t.warnf(at, "entra.tenants: %s is the tenant of %s", tenant, KnownTenant(tenant)).hint("keep it only if they are all to be let in")
		}
	}
	e.mixedClients(t)
	e.mixedAudiences(t)
	g.notExchanged(t)
}

// notExchanged warns of audiences that are another application's: what is for it
// nobody else can exchange (AADSTS50013).
func (g *Gate) notExchanged(t *table) {
	if !slices.ContainsFunc(g.Routes, func(r GateRoute) bool { return r.OnBehalfOf != nil }) {
		return
	}
	written, _ := t.keys["audiences"].([]any)
	for i, raw := range written {
		s, _ := raw.(string)
		if guid := strings.ToLower(strings.TrimPrefix(s, "api://")); isGUID(guid) && guid != g.Entra.ClientID {
			t.warnf(t.elementAt("audiences", i), "entra.audiences: %s is not client_id: a token that is for it cannot be exchanged as [route.on_behalf_of] says", show(s)).
				hint("clients have to ask for a scope of %s", g.Entra.AppIDURI)
		}
	}
}

func (e *GateEntra) mixedClients(t *table) {
	for i, client := range e.Clients {
		at := t.elementAt("clients", i)
		switch {
		case slices.Contains(e.Tenants, client):
			t.errorf(at, "entra.clients: %s is in tenants, too; one of them is in the wrong place", client).hint("clients wants client IDs: azp or appid of the callers' tokens")
		case client == e.ClientID:
			t.warnf(at, "entra.clients has the gate's own client_id").hint("it wants those of the programs that call; right only where one registration is both")
		}
	}
	switch at := t.at("shim_client"); {
	case !e.Shim:
	case slices.Contains(e.Tenants, e.ShimClient):
		t.errorf(at, "entra.shim_client is in tenants, too; one of them is in the wrong place")
	case len(e.Clients) > 0 && !slices.Contains(e.Clients, e.ShimClient):
		t.warnf(at, "entra.shim_client is not in clients: the tokens that it gets are refused")
	}
}

// mixedAudiences looks at what the file says, for e has the defaults as well.
func (e *GateEntra) mixedAudiences(t *table) {
	written, _ := t.keys["audiences"].([]any)
	for i, raw := range written {
		s, _ := raw.(string)
		guid := strings.ToLower(strings.TrimPrefix(s, "api://"))
		at := t.elementAt("audiences", i)
		switch {
		case slices.Contains(e.Tenants, guid):
			t.errorf(at, "entra.audiences: %s is a tenant's, not an application's", show(s)).hint("aud of the tokens: the client ID of an application, or its App ID URI")
		case KnownApplication(guid) != "":
			t.errorf(at, "entra.audiences: %s is that of %s: whoever has a token for it could call", show(s), KnownApplication(guid))
		case strings.TrimRight(s, "/") == "https://graph.microsoft.com":
			t.errorf(at, "entra.audiences: %s is that of Microsoft Graph: whoever has a token for it could call", show(s))
		case slices.Contains(e.Clients, guid):
			t.warnf(at, "entra.audiences: %s is in clients, too", show(s)).hint("audiences are whom tokens are for, clients who asked for them")
		}
	}
	if guid, ok := strings.CutPrefix(strings.ToLower(e.AppIDURI), "api://"); ok && guid != e.ClientID && slices.Contains(e.Tenants, guid) {
		t.errorf(t.at("app_id_uri"), "entra.app_id_uri is of api:// and the GUID of a tenant, not of an application")
	}
}
