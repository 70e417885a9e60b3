package config

import (
	"slices"
	"strings"
)

// federations are the ways to get an assertion in place of a certificate or a secret.
var federations = []string{"managed-identity", "workload-identity"}

// onBehalfOf reads [route.on_behalf_of]; nil if the route has none.
func (g *Gate) onBehalfOf(t *table) *GateOnBehalfOf {
	if t.keys == nil {
		return nil
	}
	o := &GateOnBehalfOf{Pos: t.at()}
	o.Scopes = g.Entra.delegated(t, "scope")
	o.oneCredential(t)
	o.Certificate, o.Ends = t.keyedCertificate("certificate")
	o.SecretFile = t.clientSecret("secret_file")
	o.Federated = t.federated("federated")
	o.Identity = g.Entra.managed(t, "identity")
	o.WarnConsent = t.boolean("warn_consent") || !t.has("warn_consent")
	t.done()
	return o
}

// oneCredential checks that there is one way for the gate to say who it is. A
// secret in the file itself is named, not shown, and is none.
func (o *GateOnBehalfOf) oneCredential(t *table) {
	kinds := []string{"certificate", "secret_file", "federated"}
	var have []string
	for _, key := range t.inOrder() {
		if slices.Contains(kinds, key) {
			have = append(have, key)
		}
	}
	switch {
	case t.pasted("secret_file", "secret", "client_secret", "secret_value", "password"):
	case len(have) == 0:
		t.errorf(t.at(), "%s has no %s", t.title, oneOf(kinds)).hint("how the gate proves to Entra that it is client_id: federated where the platform gives it an identity, else certificate")
	case len(have) > 1:
		t.errorf(t.at(have[1]), "%s has both %s: it wants one", t.title, strings.Join(have, " and "))
	}
}

// pasted reports secrets that stand in the file itself, under one of these names.
func (t *table) pasted(instead string, names ...string) (found bool) {
	for _, key := range names {
		if t.has(key) {
			t.known = append(t.known, key)
			t.errorf(t.at(key), "%s does not belong in this file: it is read by more than the gate", key).hint("put it into a file of its own, which %s names", instead)
			found = true
		}
	}
	return found
}

// delegated reads the permissions that users' tokens are exchanged for: in full,
// with blanks between them, of one API.
func (e *GateEntra) delegated(t *table, key string) []string {
	const example = `such as scope = "https://graph.microsoft.com/User.Read"`
	if _, ok := t.keys[key].([]any); ok {
		t.known = append(t.known, key)
		t.errorf(t.at(key), "scope must be a string, not an array").hint("several stand in one string, with blanks between them")
		return nil
	}
	scopes := strings.Fields(t.str(key, ""))
	at := t.at(key)
	switch {
	case !t.has(key):
		t.errorf(at, "%s has no scope", t.title).hint("what the servers of the route want to do for users, %s", example)
	case t.isString(key) && len(scopes) == 0:
		t.errorf(at, "scope is empty").Hint = example
	}
	for i, s := range scopes {
		if problem, hint := e.badDelegated(s); problem != "" {
			t.errorf(at, "scope: number %d %s", i+1, problem).Hint = hint
			return nil
		}
	}
	e.ofOneAPI(t, key, scopes)
	return scopes
}

// badDelegated says why a token cannot be exchanged for s. It repeats only what has
// the form of a permission: a secret is soon pasted.
func (e *GateEntra) badDelegated(s string) (problem, hint string) {
	api, name := cutScope(s)
	bare := strings.TrimRight(api, "/")
	switch {
	case !only(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("./:_-", c) >= 0 }):
		return "has a character that no scope has", "letters, digits and ./:_- only; blanks between several"
	case slices.Contains([]string{"openid", "profile", "email", "offline_access"}, s):
		return "says nothing of an API: sign-ins ask for it", `of the API, such as "https://graph.microsoft.com/User.Read"`
	case !strings.Contains(s, "/"):
		return "does not say of which API it is", ofGraph(s)
	case name == "" || strings.HasSuffix(bare, ":"):
		return "names no permission", "its name behind a slash, such as /User.Read, or /.default for all that was consented to"
	case slices.ContainsFunc([]string{e.ClientID, "api://" + e.ClientID, e.AppIDURI}, func(own string) bool { return strings.EqualFold(own, bare) }):
		return "is of the gate's own application, which callers' tokens are for already", "the API that the servers behind the gate call; without [route.on_behalf_of] they get no token"
	case !strings.Contains(bare, "://") && !isGUID(bare):
		return "is of neither a URI nor a GUID", `in full, such as "https://graph.microsoft.com/User.Read"`
	}
	return "", ""
}

// cutScope parts the API from the name of the permission. An API may end in a slash.
func cutScope(s string) (api, name string) {
	i := strings.LastIndexByte(s, '/')
	return s[:max(i, 0)], s[i+1:]
}

// ofGraph is what a permission without an API may be meant to be.
func ofGraph(s string) string {
	if strings.Contains(s, ".") && only(s, func(c byte) bool { return c == '.' || isAlnum(c) && c > '9' }) {
		return `Microsoft Graph's is "https://graph.microsoft.com/` + s + `"`
	}
	return `in full, such as "https://graph.microsoft.com/User.Read"`
}

// ofOneAPI reports what Entra does not give in one token.
func (e *GateEntra) ofOneAPI(t *table, key string, scopes []string) {
	at := t.at(key)
	for i, s := range scopes {
		first, _ := cutScope(scopes[0])
		api, name := cutScope(s)
		switch {
		case api != first:
			t.errorf(at, "scope names two APIs, %s and %s: a token is for one", show(first), show(api)).hint("a route for each")
			return
		case name == ".default" && len(scopes) > 1:
			t.errorf(at, "scope has .default, all that was consented to, and others besides").hint("one or the other")
			return
		case slices.IndexFunc(scopes, func(o string) bool { return strings.EqualFold(o, s) }) < i:
			t.errorf(at, "scope: %s stands there twice", show(s))
			return
		}
	}
}

// federated reads who vouches for the gate.
func (t *table) federated(key string) string {
	s := t.str(key, "")
	if t.isString(key) && !slices.Contains(federations, s) {
		t.errorf(t.at(key), "federated must be %s, not %s%s", oneOf(federations), show(s), didYouMean(s, federations))
	}
	return s
}

// managed reads which of several managed identities is meant.
func (e *GateEntra) managed(t *table, key string) string {
	id := t.application(key)
	switch at := t.at(key); {
	case !t.isString(key):
	case t.keys["federated"] != federations[0]:
		t.errorf(at, "identity goes with federated = %q only", federations[0])
	case id == e.ClientID && id != "":
		t.errorf(at, "identity is the gate's client_id").hint("the client ID of the user-assigned managed identity, which the application trusts")
	case slices.Contains(e.Tenants, id):
		t.errorf(at, "identity is in tenants, too; one of them is in the wrong place").hint("the client ID of the user-assigned managed identity")
	}
	return id
}

// warnOnBehalfOf says whose requests the servers of a route get without a token,
// or not at all.
func (r *GateRoute) warnOnBehalfOf(t *table) {
	if r.OnBehalfOf == nil {
		return
	}
	if r.Mode != "strict" {
		t.warnf(t.at("mode"), "route %s: mode = %q lets anonymous callers in, and upstream gets no token for them", r.Path, r.Mode).
			hint(`mode = "strict", or servers that expect it`)
	}
	if len(r.Roles) > 0 {
		t.warnf(t.at("roles"), "route %s: roles lets applications in, and their tokens cannot be exchanged: all that they ask for is refused", r.Path).
			hint("a route of their own, without [route.on_behalf_of]; right where users have these roles")
	}
}
