package gate

import (
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// The callers of the tests.
func user(scopes ...string) *verify.Caller {
	return &verify.Caller{Object: "u", Scopes: scopes, Expires: time.Now().Add(time.Hour)}
}

func application(roles ...string) *verify.Caller {
	return &verify.Caller{Object: "a", Roles: roles, Expires: time.Now().Add(time.Hour)}
}

func scopes(all ...string) Needs               { return Needs{Scopes: all} }
func roles(all ...string) Needs                { return Needs{Roles: all} }
func grant(pattern string, n Needs) Grant      { return Grant{Pattern: pattern, Needs: n} }
func tools(allow bool, all ...Grant) Route     { return Route{Allow: allow, Tools: all} }
func resources(allow bool, all ...Grant) Route { return Route{Allow: allow, Resources: all} }

func TestMostExactPatternDecides(t *testing.T) {
	t.Parallel()
	r := tools(false, grant("*", scopes("any")), grant("cost_*", scopes("cost")), grant("*_export", scopes("export")),
		grant("cost_export", Needs{}), grant("cost_*_all", scopes("all")), grant("c*", roles("c")), grant("tie*b", scopes("first")), grant("ti*eb", scopes("second")))
	for name, want := range map[string]string{
		"cost_export": "cost_export", "cost_by_service": "cost_*", "cost_by_all": "cost_*_all", "disk_export": "*_export", "cost_disk_export": "*_export",
		"cx": "c*", "echo": "*", "": "*", "Cost_export": "*_export", "tie-eb": "tie*b",
	} {
		if d := r.Judge(Tool, name, nil); d.Pattern != want {
			t.Errorf("%q: decided by %q, want %q", name, d.Pattern, want)
		}
	}
}

// TestOfPatternsThatAreAsExactEachHasToBeMet holds that the order of lines opens
// nothing.
func TestOfPatternsThatAreAsExactEachHasToBeMet(t *testing.T) {
	t.Parallel()
	open, role, scope := grant("get_*", Needs{}), grant("*_key", roles("Admin")), grant("g*t_*e*", scopes("keys"))
	for _, all := range [][]Grant{{open, role}, {role, open}, {open, scope, role}, {scope, role, open}, {role, scope, open}} {
		r := tools(false, append(all, grant("*", Needs{}))...)
		if d := r.Judge(Tool, "get_key", user("use")); d.Allowed || d.Pattern != "*_key" || d.Denied != deniedRole || d.Mends {
			t.Errorf("%v: %+v", all, d)
		}
		both := &verify.Caller{Scopes: []string{"keys"}, Roles: []string{"Admin"}}
		if d := r.Judge(Tool, "get_key", both); !d.Allowed || d.Pattern != all[0].Pattern {
			t.Errorf("%v: one who meets all: %+v", all, d)
		}
		if d := r.Judge(Tool, "get_ke", nil); d.Allowed != (len(all) == 2) {
			t.Errorf("%v: %+v", all, d)
		}
	}
}

func TestAnyScopeOrRoleSufficesAndLacksAreNamed(t *testing.T) {
	t.Parallel()
	both := Needs{Scopes: []string{"read", "export"}, Roles: []string{"Exporter", "Admin"}}
	for _, tt := range []struct {
		name   string
		needs  Needs
		caller *verify.Caller
		denied string // "": allowed
		mends  bool
	}{
		{"nothing is needed", Needs{}, nil, "", false},
		{"nothing is needed, of a user", Needs{}, user("x"), "", false},
		{"user with one of the scopes", both, user("x", "export"), "", false},
		{"application with one of the roles", both, application("Admin"), "", false},
		{"user with a role only", both, &verify.Caller{Scopes: []string{"x"}, Roles: []string{"Exporter"}}, "", false},
		{"scope that differs by case", both, user("Read"), deniedScope, true},
		{"role named as a scope", both, user("Admin"), deniedScope, true},
		{"scope named as a role", both, application("read"), deniedRole, false},
		{"user, role only", roles("Admin"), user("x"), deniedRole, false},
		{"application, scope only", scopes("read"), application("Admin"), deniedScope, false},
		{"anonymous", both, nil, deniedNoToken, true},
		{"anonymous, role only", roles("Admin"), nil, deniedNoToken, true},
	} {
		for _, allow := range []bool{true, false} {
			d := tools(allow, grant("t*", tt.needs)).Judge(Tool, "tool", tt.caller)
			if d.Allowed != (tt.denied == "") || d.Denied != tt.denied || d.Mends != tt.mends || d.Pattern != "t*" {
				t.Errorf("%s: %+v", tt.name, d)
			}
		}
	}
}

func TestWhatNoPatternNamesIsAsTheDefaultSays(t *testing.T) {
	t.Parallel()
	for _, c := range []*verify.Caller{nil, user("x"), application("y")} {
		if d := tools(false, grant("a", Needs{})).Judge(Tool, "b", c); d.Allowed || d.Denied != deniedUnmapped || d.Mends {
			t.Errorf("deny: %+v", d)
		}
		if d := tools(true, grant("a", scopes("s"))).Judge(Tool, "b", c); !d.Allowed || d.Pattern != "" {
			t.Errorf("allow: %+v", d)
		}
	}
	r := Route{Tools: []Grant{grant("a", Needs{})}, Prompts: []Grant{grant("b", Needs{})}}
	for _, kind := range []Kind{Tool, Resource, Prompt, "other"} {
		if a, b := r.Judge(kind, "a", nil).Allowed, r.Judge(kind, "b", nil).Allowed; a != (kind == Tool) || b != (kind == Prompt) {
			t.Errorf("%s: a %v, b %v", kind, a, b)
		}
	}
}

// TestURIThatClimbsIsOutOfWhatAPatternMeans holds that dot segments lead a
// server neither out of what is granted nor into what is restricted.
func TestURIThatClimbsIsOutOfWhatAPatternMeans(t *testing.T) {
	t.Parallel()
	public := resources(false, grant("file:///public/*", Needs{}), grant("file:///a/../b", Needs{}))
	private := resources(true, grant("file:///private/*", scopes("s")))
	for _, uri := range []string{
		"file:///public/../private/x", "file:///public/%2e%2e/private/x", "file:///public/%2E./private/x", "file:///public/.%252e/private/x",
		`file:///public/..\private/x`, `file:///public\..\..\private/x`, "file:///public/..%2fprivate/x", "file:///public/..%5Cprivate/x", "file:///public/x/..",
		"file:///public/./../private/x", "file:///public/..;x/private/x", "file:///public/..?x", "file:///public/%252525252e%252e/x", "file:///public/x%00/../y", "file:///public/x%00",
		"file:///public/.", "file:///public/a%0ab",
	} {
		if d := public.Judge(Resource, uri, nil); d.Allowed || !d.Unclear || d.Mends {
			t.Errorf("granted: %s: %+v", uri, d)
		}
		if d := private.Judge(Resource, uri, user("x")); d.Allowed || !d.Unclear {
			t.Errorf("not restricted: %s: %+v", uri, d)
		}
	}
	for _, uri := range []string{
		"file:///public/x", "file:///public/a..b/...", "file:///public/.hidden", "file:///public/100%", "file:///public/%zz", "file:///public/a%20b?q=..x", "file:///public/%E2%82%AC",
		"file:///public/{id}/{+rest}", "file:///a/../b",
	} {
		if d := public.Judge(Resource, uri, nil); !d.Allowed {
			t.Errorf("not granted: %s: %+v", uri, d)
		}
	}
	if d := resources(true).Judge(Resource, "file:///a/../../b", nil); !d.Allowed {
		t.Errorf("where nothing is decided on resources: %+v", d)
	}
	if d := tools(false, grant("a*", Needs{})).Judge(Tool, "a/../b", nil); !d.Allowed {
		t.Errorf("a tool's name is no path: %+v", d)
	}
}
