package verify

import (
	"slices"
	"strings"
	"time"
)

// rules say which claims are accepted.
type rules struct {
	tenants    map[string]issuers
	audiences  []string
	clients    []string
	algorithms []string
}

func newRules(o Options) *rules {
	r := &rules{tenants: make(map[string]issuers), audiences: o.Audiences, clients: o.Clients, algorithms: o.Algorithms}
	for _, tenant := range o.Tenants {
		r.tenants[tenant] = issuersOf(o.Authority, tenant)
	}
	return r
}

// judge returns whom claims are about, or what is wrong with them.
func (r *rules) judge(claims object, now time.Time) (*Caller, *Invalid) {
	c := &Caller{}
	for _, step := range []func(*Caller, object) *Invalid{r.issued, r.meant, r.identified, unbound, granted, called} {
		if refused := step(c, claims); refused != nil {
			return nil, refused
		}
	}
	return c, inForce(c, claims, now)
}

// issued checks who issued the token: a tenant that is listed, by its own name,
// which depends on the token's version.
func (r *rules) issued(c *Caller, claims object) *Invalid {
	tid, err := claims.text("tid")
	c.Tenant = strings.ToLower(tid)
	issuer, listed := r.tenants[c.Tenant]
	if err != nil || !listed {
		return invalid(Tenant, "the token is of a tenant that is not accepted here")
	}
	version, err := claims.text("ver")
	want := issuer.v2
	switch {
	case err != nil || version != "1.0" && version != "2.0":
		return invalid(Claims, "the token does not say that it is of version 1.0 or 2.0")
	case version == "1.0":
		want = issuer.v1
	}
	if iss, err := claims.text("iss"); err != nil || iss != want {
		return invalid(Issuer, "the issuer of the token is not "+want)
	}
	return nil
}

// meant checks whom the token is for. Entra names one audience; of several, each
// could use here what it was shown, although RFC 7519, section 4.1.3, allows it.
func (r *rules) meant(_ *Caller, claims object) *Invalid {
	audience, err := claims.text("aud")
	if all, notList := claims.texts("aud"); notList == nil && len(all) > 0 {
		if len(all) > 1 {
			return invalid(Audience, "the token is for several audiences, each of which could use it here; it has to be for one")
		}
		audience, err = all[0], nil
	}
	if err != nil || !slices.Contains(r.audiences, audience) {
		return invalid(Audience, "the token is for another audience; it has to be "+strings.Join(r.audiences, " or "))
	}
	return nil
}

// identified checks who asks, through which application. Every access token of
// Entra says both; an ID token, which may have the same audience, does not name
// an application.
func (r *rules) identified(c *Caller, claims object) *Invalid {
	name := "azp"
	if version, _ := claims.text("ver"); version == "1.0" {
		name = "appid"
	}
	client, err := claims.text(name)
	if err != nil || !isGUID(client) {
		return invalid(Claims, "the token does not name an application by "+name+": it is no access token")
	}
	oid, err := claims.text("oid")
	if err != nil || !isGUID(oid) {
		return invalid(Claims, "the token does not name a user or an application by oid")
	}
	c.Client, c.Object = strings.ToLower(client), strings.ToLower(oid)
	if len(r.clients) > 0 && !slices.Contains(r.clients, c.Client) {
		return invalid(Client, "the token was issued to an application that is not accepted here")
	}
	return nil
}

// unbound refuses what is no bearer token: one that counts together with a proof
// of the key that it is bound to (RFC 7800, section 3.1). The proof cannot be
// checked here, and without it who has stolen the token could use it.
func unbound(_ *Caller, claims object) *Invalid {
	if _, ok := claims["cnf"]; ok {
		return invalid(Claims, "the token is bound to a key by cnf, and proof of possession cannot be checked here; a bearer token is needed")
	}
	return nil
}

// granted reads what the caller may do.
func granted(c *Caller, claims object) *Invalid {
	scopes, err := claims.text("scp")
	if err != nil {
		return invalid(Claims, "the claim scp of the token is not a string")
	}
	if c.Roles, err = claims.texts("roles"); err != nil {
		return invalid(Claims, "the claim roles of the token is not a list of strings")
	}
	c.Scopes = strings.FieldsFunc(scopes, func(r rune) bool { return r == ' ' })
	return nil
}

// called reads what the user is called. Nothing depends on it, and a token in which
// it cannot be read is as good as one without.
func called(c *Caller, claims object) *Invalid {
	c.Name, _ = claims.text("name")
	if c.Username, _ = claims.text("preferred_username"); c.Username == "" {
		c.Username, _ = claims.text("upn")
	}
	return nil
}

// inForce checks when the token is valid.
func inForce(c *Caller, claims object, now time.Time) *Invalid {
	expires, ok, err := claims.date("exp")
	if err != nil || !ok {
		return invalid(Claims, "the token does not say by exp, in seconds, when it expires")
	}
	if !now.Before(expires.Add(leeway)) {
		return invalid(Expired, "the token has expired")
	}
	c.Expires = expires
	for _, name := range []string{"nbf", "iat"} {
		switch from, _, err := claims.date(name); {
		case err != nil:
			return invalid(Claims, "the claim "+name+" of the token is not a date in seconds")
		case from.After(now.Add(leeway)):
			return invalid(NotYetValid, "the token is not valid yet; is a clock wrong?")
		}
	}
	return nil
}
