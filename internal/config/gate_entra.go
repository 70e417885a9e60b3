package config

import (
	"net/url"
	"slices"
	"strings"
)

// clouds are the hosts of Microsoft's authorities.
var clouds = [...]string{
	"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net",
	"login.microsoftonline.us", "login.usgovcloudapi.net", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
}

// read reads [entra] of gate.toml.
func (e *GateEntra) read(t *table) {
	e.Tenants = t.tenants("tenants")
	e.ClientID = t.application("client_id")
	if !t.has("client_id") {
		t.errorf(t.at(), "[entra] has no client_id").hint("the client ID of the application registration that stands for the servers behind the gate")
	}
	e.AppIDURI = t.appIDURI("app_id_uri", e.ClientID)
	e.audiences(t)
	e.Clients = t.guids("clients", "the client ID of a program that may call (azp or appid of its tokens)")
	e.Algorithms = t.algorithms("algorithms")
	e.AuthorityHost = t.authority("authority_host")
	e.Shim = t.boolean("shim")
	e.ShimClient = t.application("shim_client")
	switch {
	case !e.Shim && t.has("shim_client"):
		t.warnf(t.at("shim_client"), "entra.shim_client has no effect without shim = true")
	case e.Shim && !t.has("shim_client"):
		e.ShimClient = e.ClientID
	}
	t.done()
}

// guids reads a list of GUIDs, each of which is what the words say.
func (t *table) guids(key, what string) []string {
	var list []string
	for i, s := range t.list(key) {
		at, guid := t.elementAt(key, i), strings.ToLower(s)
		switch {
		case !isGUID(s):
			t.errorf(at, "%s: number %d is not a GUID", t.name(key), i+1).hint("%s: 8-4-4-4-12 hexadecimal digits", what)
		case slices.Contains(list, guid):
			t.errorf(at, "%s: %s stands there twice", t.name(key), guid)
		default:
			list = append(list, guid)
		}
	}
	return list
}

// tenants reads GUIDs, at least one. A domain will not do: tokens carry the GUID.
func (t *table) tenants(key string) []string {
	const hint = "the tenant's GUID, which tokens carry as tid: az account show --query tenantId"
	if raw, ok := t.keys[key].([]any); !t.has(key) || ok && len(raw) == 0 {
		t.known = append(t.known, key)
		t.errorf(t.at(key), "[entra] has no tenants: nobody could be let in").Hint = hint
		return nil
	}
	for i, s := range t.list(key) {
		switch strings.ToLower(s) {
		case "common", "organizations", "consumers":
			t.errorf(t.elementAt(key, i), "entra.tenants: %q names no single tenant: whoever has any account at Microsoft would be let in", s).hint("name each tenant by its GUID")
			return nil
		}
	}
	return t.guids(key, hint)
}

// application reads the client ID of an application, in lower case. What is not
// one is not shown: a client secret is the likeliest thing to be put there by
// mistake.
func (t *table) application(key string) string {
	s := strings.ToLower(t.str(key, ""))
	switch {
	case !t.isString(key) || isGUID(s):
	case strings.HasPrefix(s, "api://"):
		t.errorf(t.at(key), "%s is an App ID URI, not a GUID", t.name(key)).hint("the GUID alone; a URI other than api:// and the GUID goes into app_id_uri")
	default:
		t.errorf(t.at(key), "%s is not a GUID", t.name(key)).hint("the application's client ID: 8-4-4-4-12 hexadecimal digits")
	}
	return s
}

// appIDURI reads what stands before the names of scopes.
func (t *table) appIDURI(key, clientID string) string {
	s := t.str(key, "")
	if s == "" {
		return "api://" + clientID
	}
	u, err := url.Parse(s)
	bare := strings.TrimRight(s, "/")
	switch at := t.at(key); {
	case isGUID(s):
		t.errorf(at, "%s is a GUID, not a URI", t.name(key)).hint("api:// and the GUID is the default")
	case err != nil || u.Scheme == "" || u.User != nil || !isAudience(s) || strings.ContainsAny(s, "?#"):
		t.errorf(at, "%s is not a URI", t.name(key)).hint(`as the registration has it under "Expose an API": "api://mcp" or "https://mcp.corp.example"`)
	case strings.HasSuffix(bare, "/.default"):
		t.errorf(at, "%s ends in /.default, as a scope does", t.name(key)).hint("drop it")
	case bare != s:
		t.errorf(at, "%s ends in a slash", t.name(key)).hint("drop it, or list the audience with its slash in audiences")
	}
	return bare
}

// isAudience reports whether s can be a value of aud.
func isAudience(s string) bool {
	return s != "" && only(s, func(c byte) bool { return '!' <= c && c <= '~' && c != '"' && c != '\\' })
}

// audiences reads further audiences and completes them.
func (e *GateEntra) audiences(t *table) {
	for _, own := range []string{e.ClientID, "api://" + e.ClientID, e.AppIDURI} {
		if own != "" && !slices.Contains(e.Audiences, own) {
			e.Audiences = append(e.Audiences, own)
		}
	}
	for i, s := range t.list("audiences") {
		at := t.elementAt("audiences", i)
		switch {
		case !isAudience(s) || strings.Contains(s, "@"):
			t.errorf(at, "entra.audiences: number %d is not a GUID or a URI", i+1).hint("what aud of the tokens is, letter by letter")
		case slices.Contains(e.Audiences, s):
			t.warnf(at, "entra.audiences: %s is an audience already", show(s))
		default:
			if !isGUID(s) && !strings.Contains(s, ":") {
				t.warnf(at, "entra.audiences: %s is neither a GUID nor a URI", show(s))
			}
			e.Audiences = append(e.Audiences, s)
		}
	}
}

func (t *table) algorithms(key string) []string {
	known := []string{"RS256", "ES256"}
	list := t.filled(key)
	for i, s := range list {
		at := t.elementAt(key, i)
		switch {
		case strings.HasPrefix(strings.ToUpper(s), "HS") || strings.EqualFold(s, "none"):
			t.errorf(at, "%s: %s lets anybody make tokens who has the published keys, or none", t.name(key), show(s)).hint(`Entra signs with "RS256"`)
		case !slices.Contains(known, s):
			t.errorf(at, "%s: %s is not one of %s%s", t.name(key), show(s), oneOf(known), didYouMean(s, known))
		case slices.Index(list, s) < i:
			t.errorf(at, "%s: %q stands there twice", t.name(key), s)
		}
	}
	if !t.has(key) {
		return known[:1]
	}
	return list
}

// authority reads the base URL of the authority, whose keys decide who is let in.
func (t *table) authority(key string) string {
	s := strings.TrimSuffix(t.origin(key), "/")
	u, err := url.Parse(s)
	if s == "" || err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if near := nearest(host, clouds[:]); near != "" && !slices.Contains(clouds[:], host) {
		t.warnf(t.at(key), "%s: %s is no authority of Microsoft's: did you mean %q?", t.name(key), host, near).hint("the keys of this host decide who is let in")
	}
	return s
}
