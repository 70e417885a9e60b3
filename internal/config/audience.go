package config

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// kinds are the keys of which an audience has exactly one. The first three are
// served by Entra ID.
var kinds = [...]string{"client_id", "resource", "scope", "token_env", "token_file", "token_command"}

const entraKinds = 3

// audiences reads [audience.*]. An audience with mistakes is returned too, so
// that the rules that use it are not reported as well.
func (d *document) audiences(top *table, team string) []*Audience {
	var list []*Audience
	for _, t := range top.named("audience") {
		a := &Audience{Name: t.leaf(), Team: team, Pos: t.at()}
		a.kind(t)
		a.ClientID = t.guid("client_id")
		a.Resource = t.resource("resource")
		a.Scope = t.scope("scope")
		a.Tenant = t.tenant("tenant")
		a.TokenEnv = t.variable("token_env")
		a.TokenFile = t.file("token_file")
		a.TokenCommand = t.command("token_command")
		a.Sources = t.sources("sources")
		a.Identity = t.enum("identity", "any", "user")
		t.done()
		list = append(list, a)
	}
	return list
}

// kind checks that a has one kind, and no setting of another.
func (a *Audience) kind(t *table) {
	var have []string
	for _, key := range kinds {
		if t.has(key) {
			have = append(have, key)
		}
	}
	switch {
	case len(have) == 0:
		t.errorf(t.at(), "%s has no %s", t.title, oneOf(kinds[:]))
	case len(have) > 1:
		t.errorf(t.at(have[1]), "%s has both %s and %s: it wants one", t.title, have[0], strings.Join(have[1:], " and "))
	case slices.Index(kinds[:], have[0]) >= entraKinds:
		for _, key := range []string{"tenant", "sources", "identity"} {
			if t.has(key) {
				t.errorf(t.at(key), "%s goes with client_id, resource or scope, not with %s", key, have[0])
			}
		}
	}
}

// guid returns the GUID of an application. What is not one is not shown: a
// client secret is the likeliest thing to be put there by mistake.
func (t *table) guid(key string) string {
	s := t.str(key, "")
	switch {
	case !t.isString(key) || isGUID(s):
	case strings.HasPrefix(s, "api://"):
		t.errorf(t.at(key), "%s is an App ID URI, not a GUID", key).hint(`write the GUID alone, or scope = "api://…/.default"`)
	default:
		t.errorf(t.at(key), "%s is not a GUID", key).hint("the application's client ID: 8-4-4-4-12 hexadecimal digits")
	}
	return s
}

// tenant returns a GUID or a verified domain.
func (t *table) tenant(key string) string {
	s := t.str(key, "")
	switch strings.ToLower(s) {
	case "common", "organizations", "consumers":
		t.errorf(t.at(key), "tenant %q names no single tenant", s).hint("the GUID or the domain of one tenant, or no tenant at all")
		return s
	}
	if t.isString(key) && !isGUID(s) {
		if _, err := match.Authority(s); err != nil || !strings.Contains(s, ".") || strings.ContainsAny(s, ":[]") {
			t.errorf(t.at(key), "tenant is neither a GUID nor a domain")
		}
	}
	return s
}

func (t *table) resource(key string) string {
	s := t.str(key, "")
	switch bare := strings.TrimRight(s, "/"); {
	case !t.isString(key) || !t.cliText(key, s):
	case bare == "":
		t.errorf(t.at(key), "resource is empty")
	case strings.HasSuffix(bare, "/.default"):
		t.errorf(t.at(key), "resource ends in /.default, as a scope does").hint("drop it, or write scope = instead")
	case !strings.Contains(bare, "://") && !isGUID(bare):
		t.warnf(t.at(key), `resource is neither a URI such as "https://vault.azure.net" nor a GUID`)
	}
	return s
}

func (t *table) scope(key string) string {
	s := t.str(key, "")
	switch {
	case !t.isString(key) || !t.cliText(key, s):
	case s == "":
		t.errorf(t.at(key), "scope is empty")
	case !strings.Contains(s[strings.Index(s, "://")+1:], "/") || strings.Count(s, "/") == 2 && strings.Contains(s, "://"):
		t.warnf(t.at(key), "scope names no permission").hint(`it usually ends in "/.default"`)
	}
	return s
}

// cliText checks for the characters that az and its kin take in an argument
// without doubt.
func (t *table) cliText(key, s string) bool {
	ok := only(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("./:_-", c) >= 0 }) && !strings.HasPrefix(s, "-")
	if !ok {
		t.errorf(t.at(key), "%s has a character that the Azure tools refuse", key).hint("letters, digits and ./:_- only")
	}
	return ok
}

// variable returns the name of an environment variable. What is not one is not
// shown: it may be the secret itself.
func (t *table) variable(key string) string {
	s := t.str(key, "")
	valid := s != "" && (s[0] < '0' || s[0] > '9') && only(s, func(c byte) bool { return isAlnum(c) || c == '_' })
	if t.isString(key) && !valid {
		t.errorf(t.at(key), "%s is not the name of an environment variable", t.name(key))
	}
	return s
}

// command returns a program and its arguments.
func (t *table) command(key string) []string {
	argv := t.filled(key)
	for i, arg := range argv {
		if strings.ContainsRune(arg, 0) || i == 0 && arg == "" {
			t.errorf(t.elementAt(key, i), "%s: word %d cannot be run", key, i+1)
		}
	}
	if len(argv) > 0 && strings.ContainsRune(filepath.ToSlash(argv[0]), '/') {
		argv[0] = t.abs(argv[0])
	}
	return argv
}

func (t *table) sources(key string) []string {
	known := []string{"default", "az", "azd", "powershell", "device-code", "browser"}
	list := t.filled(key)
	for i, s := range list {
		at := t.elementAt(key, i)
		if !slices.Contains(known, s) {
			t.errorf(at, "sources: %s is not one of %s%s", show(s), oneOf(known), didYouMean(s, known))
		} else if slices.Index(list, s) < i {
			t.errorf(at, "sources: %q stands there twice", s)
		}
	}
	return list
}

// isGUID reports whether s is 8-4-4-4-12 hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && strings.IndexByte("0123456789abcdefABCDEF", s[i]) < 0 {
			return false
		}
	}
	return true
}

// mixUps warns of the GUIDs that the field puts in each other's places.
func mixUps(r *report, audiences []*Audience) {
	tenants := map[string]bool{}
	for _, a := range audiences {
		if isGUID(a.Tenant) {
			tenants[strings.ToLower(a.Tenant)] = true
		}
	}
	for _, a := range audiences {
		resource := strings.ToLower(strings.TrimRight(a.Resource, "/"))
		switch api, _ := strings.CutPrefix(resource, "api://"); {
		case a.ClientID != "" && strings.EqualFold(a.ClientID, a.Tenant):
			r.warnf(a.Pos, "audience %s: client_id and tenant are the same GUID; one of them is in the wrong place", a.Name)
		case tenants[strings.ToLower(a.ClientID)]:
			r.warnf(a.Pos, "audience %s: client_id is the GUID of a tenant", a.Name)
		case tenants[api]:
			r.warnf(a.Pos, "audience %s: resource is the GUID of a tenant, not of an application", a.Name)
		case isGUID(api) && api != resource:
			r.warnf(a.Pos, "audience %s: resource is api:// and a GUID", a.Name).hint("client_id with the GUID alone says the same")
		}
		if guid, ok := strings.CutPrefix(strings.ToLower(a.Scope), "api://"); ok && len(guid) >= 36 && tenants[guid[:36]] {
			r.warnf(a.Pos, "audience %s: scope is of api:// and the GUID of a tenant, not of an application", a.Name)
		}
	}
}
