package config

import (
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// Whatever a gate.toml holds, each problem has its place; and of a usable one a
// second reader of TOML finds the same routes, each clean, with a server, and with
// no scope, role or pattern more or less than the file has.
func FuzzLoadGate(f *testing.F) {
	f.Add(trustworthy)
	f.Add(allOfGate)
	f.Add(trustworthy + "\"a*\" = {}\n\"b.*\" = { roles = [\"R\"] }\n[[route]]\npath = \"/\"\nupstream = [\"https://b\"]\n")
	f.Add("route = [{path = 1}, 2]\nentra = {tenants = [1]}\n")
	f.Add("[route]\ntools = [[1]]\n[entra.tenants]\n")
	f.Add(trustworthy + "[route.on_behalf_of]\nscope = \"https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Read\"\n" + federated + "[redis]\nurl = \"rediss://u@a:1/2\"\n")
	f.Add(trustworthy + "[route.identity_headers]\nX-User = \"oid\"\n\"x-roles\" = \"roles\"\n[redis]\nurl = \"redis://:p@a\"\n")
	f.Add("[redis]\nurl = [1]\n[[route]]\non_behalf_of = {scope = \"a//b /.default\", federated = 1}\nidentity_headers = {\"\" = [], a = \"oid\", A = \"oid\"}\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range []string{"upstream_ca", "tls", "certificate", "secret_file", "password_file"} {
			if strings.Contains(text, file) {
				t.Skip("would read what lies elsewhere")
			}
		}
		file := filepath.Join(dir, "gate.toml")
		writeFile(t, file, text)
		g, problems := LoadGate(file)
		errors := 0
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.File != file || p.Message == "" || strings.ContainsAny(p.String(), "\n\r\x00\x1b") {
				t.Errorf("bad problem %q", p)
			}
			if !p.Warning {
				errors++
			}
		}
		if (g == nil) != (errors > 0) {
			t.Fatalf("%d errors, and the gate is %+v", errors, g)
		}
		if g != nil {
			wellFormed(t, g)
			sameRoutes(t, g, text)
		}
	})
}

// wellFormed holds g against what it promises.
func wellFormed(t *testing.T, g *Gate) {
	if u := g.PublicURL; u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && !isLoopback(u.Hostname()) {
		t.Errorf("public URL %q", u)
	}
	if len(g.Entra.Tenants) == 0 || !slices.Contains(g.Entra.Audiences, g.Entra.ClientID) || slices.Contains(g.Entra.Tenants, g.Entra.ClientID) {
		t.Errorf("%+v", g.Entra)
	}
	if u, err := url.Parse(g.Redis.URL); g.Redis.URL != "" {
		if _, has := u.User.Password(); err != nil || has || u.Host == "" || u.RawQuery != "" || u.Scheme != "redis" && u.Scheme != "rediss" {
			t.Errorf("Redis at %q: %v", g.Redis.URL, err)
		}
	}
	seen := map[string]bool{}
	for _, r := range g.Routes {
		tellsWell(t, r)
		if path.Clean(r.Path) != r.Path || r.Path[0] != '/' || seen[r.Path] || len(r.Upstreams) == 0 {
			t.Errorf("%+v", r)
		}
		seen[r.Path] = true
		for _, u := range r.Upstreams {
			if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host || u.Host == "" || u.User != nil {
				t.Errorf("upstream %q: %v", u, err)
			}
		}
	}
}

// tellsWell holds what upstreams get of callers against what r promises.
func tellsWell(t *testing.T, r GateRoute) {
	if o := r.OnBehalfOf; o != nil {
		for _, s := range o.Scopes {
			if api, name := cutScope(s); name == "" || !strings.HasPrefix(o.Scopes[0], api+"/") || !isGUID(api) && !strings.Contains(api, "://") {
				t.Errorf("a token is asked for with %q", s)
			}
		}
		if len(o.Scopes) == 0 || !slices.Contains(federations, o.Federated) || o.Identity != "" && !isGUID(o.Identity) {
			t.Errorf("%+v", o)
		}
	}
	seen := map[string]bool{}
	for _, i := range r.Identity {
		if lower := strings.ToLower(i.Header); seen[lower] || strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || slices.Contains(taken, lower) || !slices.Contains(saidOfCallers, i.Of) {
			t.Errorf("%+v", r.Identity)
		}
		seen[strings.ToLower(i.Header)] = true
	}
}

type needs struct{ Scopes, Roles []string }

// sameRoutes holds the routes against what go-toml reads in text.
func sameRoutes(t *testing.T, g *Gate, text string) {
	var file struct {
		Route []struct {
			Path, Mode, Default       string
			Tools, Resources, Prompts map[string]needs
			OnBehalfOf                *struct{ Scope, Federated string } `toml:"on_behalf_of"`
			Identity                  map[string]string                  `toml:"identity_headers"`
			needs
		}
	}
	if err := toml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &file); err != nil {
		t.Fatalf("a usable gate.toml is none to go-toml: %v", err)
	}
	if len(file.Route) != len(g.Routes) {
		t.Fatalf("%d routes are written, and %d are there", len(file.Route), len(g.Routes))
	}
	for i, r := range g.Routes {
		w := file.Route[i]
		if w.Path != r.Path || (w.Default == "allow") != r.Allow || w.Mode != r.Mode && w.Mode != "" || w.Mode == "" && r.Mode != "strict" {
			t.Errorf("%+v is written as %+v", r, w)
		}
		sameGrants(t, g, r.Tools, w.Tools)
		sameGrants(t, g, r.Resources, w.Resources)
		sameGrants(t, g, r.Prompts, w.Prompts)
		if o := r.OnBehalfOf; (o == nil) != (w.OnBehalfOf == nil) || o != nil && (!slices.Equal(o.Scopes, strings.Fields(w.OnBehalfOf.Scope)) || o.Federated != w.OnBehalfOf.Federated) {
			t.Errorf("%+v is written as %+v", o, w.OnBehalfOf)
		}
		if len(r.Identity) != len(w.Identity) {
			t.Errorf("%+v are written as %+v", r.Identity, w.Identity)
		}
	}
}

func sameGrants(t *testing.T, g *Gate, grants []GateGrant, written map[string]needs) {
	if len(grants) != len(written) {
		t.Errorf("%+v are written as %+v", grants, written)
	}
	for _, grant := range grants {
		w, ok := written[grant.Pattern]
		for i, s := range w.Scopes {
			if !ok || len(grant.Scopes) <= i || grant.Scopes[i] != s && !strings.HasSuffix(s, "/"+grant.Scopes[i]) {
				t.Errorf("%+v is written as %+v", grant, w)
			}
		}
		if !ok || !slices.Equal(grant.Roles, w.Roles) && len(grant.Roles)+len(w.Roles) > 0 || len(grant.Scopes) != len(w.Scopes) {
			t.Errorf("%+v is written as %+v", grant, w)
		}
	}
}
