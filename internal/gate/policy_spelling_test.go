package gate

import (
	"strings"
	"testing"
)

// TestResourceIsJudgedAsWhatAServerReadsInItsURI holds that no spelling of a URI
// leads around the pattern that restricts it. Servers that parse it, and decode
// what they get, read all of these alike.
func TestResourceIsJudgedAsWhatAServerReadsInItsURI(t *testing.T) {
	t.Parallel()
	open, admin := grant("file:///*", Needs{}), roles("Admin")
	narrow := resources(false, open, grant("file:///secret/*", admin), grant("file:///vault.txt", admin), grant("file:///my%20keys/*", admin),
		grant("https://a.example/keys/*", admin), grant("https://*", Needs{}), grant("db://*", Needs{}), grant("db://me@vault/*", admin), grant("file:///grüße/*", admin), grant("file://share/*", Needs{}))
	for _, uri := range []string{
		"file:///secret/x", "file:///%73ecret/x", "file:///secret%2Fx", `file:///secret\x`, "file:///secret%5Cx", "file:////secret/x", "file:///%2Fsecret/x", "file:///secret//x", "file:///%2573ecret/x", "file:///Secret/x",
		"file:///vault.txt", "file:///vault.txt ", "file:///vault.txt%20", "file:///vault%2etxt", "file:///vault.txt?", "file:///vault.txt#", "file:///vault.txt?x=1", "file:///vault.txt#x", "file:///vault.txt%23", "file:///vault.txt/",
		"file:///my keys/x", "file:///my%20keys/x", "file:///my%2520keys/x", "file:///gr%C3%BC%C3%9Fe/x", "file:///GRÜßE/x", "file://share/secret/x", "file://share/vault.txt?", "file:///\u017fecret/x",
		"https://a.example/keys/x", "https://A.example/keys/x", "https://a.example:443/keys/x", "https://a.example:/keys/x", "https://me@a.example/keys/x", "https:a.example/keys/x", "https:/a.example/keys/x",
		"https:///a.example/keys/x", "https://%61.example/keys/x", "https://ａ.example/keys/x", "https://a.example:0443/keys/x", "https://2130706433/x", "https://0x7f.1/x", "https://127.1./x", "https:////x", "https://",
		"db://vault/x", "db://you@vault/x", "db://VAULT/x", "db://vault:/x", "db:/vault/x",
	} {
		if d := narrow.Judge(Resource, uri, user("use")); d.Allowed || d.Mends {
			t.Errorf("%q is allowed by %s", uri, d.Pattern)
		}
	}
	shut := resources(true, grant("file:///secret/*", admin), grant("file:///a*b", admin))
	for _, uri := range []string{
		"FILE:///secret/x", "file:/secret/x", "file://localhost/secret/x", "file://x/secret/x", " file:///secret/x", "\u00a0file:///secret/x", "\ufefffile:///secret/x", "file:secret/x", "file:///secret/x", "file://secret/x", "file:///secret/?", "file:///secret/x%ff",
		"file:///C|/secret/x", "file:///a%2Ab", "file:///aXB",
	} {
		if d := shut.Judge(Resource, uri, user("use")); d.Allowed {
			t.Errorf("%q is allowed by the default", uri)
		}
	}
	ends := resources(false, grant("file:///*.md", Needs{}), grant("db://q?*=1", Needs{}))
	for uri, want := range map[string]bool{
		"file:///a.md": true, "file:///a.md?x": false, "file:///key#.md": false, "file:///key?.md": false, "db://q?x=1": true, "db://q?x=2": false, "db://q": false,
	} {
		if d := ends.Judge(Resource, uri, nil); d.Allowed != want {
			t.Errorf("%q: %+v", uri, d)
		}
	}
}

// TestURIAsServersHaveItIsDecidedByPatterns holds that nothing of this stands in
// the way of URIs and templates as servers have them.
func TestURIAsServersHaveItIsDecidedByPatterns(t *testing.T) {
	t.Parallel()
	for pattern, uris := range map[string]string{
		"postgres://*":     "postgres://me@db:5432/users/schema postgres://me:***@db/users/schema",
		"file://*":         "file:///a/b.txt file://documents/a file:///C:/a%20b file:///gr%C3%BC%C3%9Fe file:///grüße file:///%7Bx%7D file:///100%25 file://documents/{name} file:///{+path} file:///{dir}/{?q,lang}",
		"weather://*":      "weather://Berlin/current weather://{city}/current weather://{city}{?days} weather://berlin/",
		"repo://*":         "repo://o%2Fr/contents repo://{owner}/{repo}/contents{/path*} repo://Owner/Repo?ref=a//b#L1",
		"https://*":        "https://a.example https://a.example/ https://A.example:8443/a?u=https://b.example/ https://127.0.0.1/x https://[::1]:8080/x https://{host}/x",
		"urn:*":            "urn:isbn:1 urn:ISBN:1",
		"{scheme}://*":     "{scheme}://{Host}",
		"note*":            "note note/a notes:a",
		"file:///my%20d/*": "file:///my%20d/x file:///my%20d/",
		"db://q?*":         "db://q?a=1 db://q?",
	} {
		r := resources(false, grant("*", roles("Admin")), grant(pattern, Needs{}))
		for _, uri := range strings.Fields(uris) {
			if d := r.Judge(Resource, uri, nil); !d.Allowed || d.Pattern != pattern {
				t.Errorf("%q: %+v", uri, d)
			}
		}
	}
	exact := resources(false, grant("file:///secret/*", roles("Admin")), grant("FILE:///Secret/../x", Needs{}), grant("file:///secret/open", Needs{}), grant("file:///*", Needs{}))
	for uri, want := range map[string]bool{"FILE:///Secret/../x": true, "file:///secret/open": true, "file:///secret/opeN": false, "file:///open": true, "file:///secrets": true} {
		if d := exact.Judge(Resource, uri, user("use")); d.Allowed != want {
			t.Errorf("%q: %+v", uri, d)
		}
	}
}

// TestToolIsJudgedAsOneWhoseNameDiffersByCase holds that a server that does not
// mind the case of names gives nothing away.
func TestToolIsJudgedAsOneWhoseNameDiffersByCase(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Tool, Prompt} {
		grants := []Grant{grant("*", Needs{}), grant("delete_*", roles("Admin")), grant("Make", roles("Admin")), grant("make", Needs{})}
		for _, r := range []Route{{Allow: true, Tools: grants[1:], Prompts: grants[1:]}, {Tools: grants, Prompts: grants}} {
			for name, want := range map[string]bool{"delete_a": false, "Delete_a": false, "DELETE_A": false, "undelete_a": true, "make": true, "Make": false, "mAKE": false, "ma\u212ae": false, "deletes": true} {
				if d := r.Judge(kind, name, user("use")); d.Allowed != want || !want && d.Denied != deniedRole {
					t.Errorf("%s %q: %+v", kind, name, d)
				}
			}
		}
	}
}

// TestURIThatCanBeReadAsAnotherCountsByItsOwnNameOnly holds that no pattern with
// a * decides on it, also where no narrower one is in the way.
func TestURIThatCanBeReadAsAnotherCountsByItsOwnNameOnly(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"file:///%73ecret", "file:///a/%7E", "FILE:///a", "dB://a", "file:///a//b", "db://a/b//c", "db:/a", "file:a", "https:a", "https:/a", "https://%61/", "https:///a", "https://1.1/", "db://a\\b", "db://a ", "db://a/%FF",
	} {
		if d := resources(false, grant("*", Needs{})).Judge(Resource, uri, nil); d.Allowed || !d.Unclear {
			t.Errorf("%q: %+v", uri, d)
		}
		if d := resources(true, grant("x:y", roles("Admin"))).Judge(Resource, uri, nil); d.Allowed || d.Mends {
			t.Errorf("%q by the default: %+v", uri, d)
		}
		if d := resources(false, grant(uri, Needs{})).Judge(Resource, uri, nil); !d.Allowed {
			t.Errorf("%q by its name: %+v", uri, d)
		}
	}
	tie := resources(false, grant("db://Users/*", Needs{}), grant("db://users/*", roles("Admin")))
	if d := tie.Judge(Resource, "db://Users/x", nil); d.Allowed {
		t.Errorf("of two that differ by case the open one: %+v", d)
	}
	if d := resources(false, grant("db://a/", roles("Admin")), grant("db://*", Needs{})).Judge(Resource, "db://a", nil); d.Allowed {
		t.Errorf("without the slash at its end: %+v", d)
	}
	if d := tools(false, grant("*_b", Needs{})).Judge(Tool, "a?_b", nil); !d.Allowed {
		t.Errorf("a tool has no query: %+v", d)
	}
}
