package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// With and without slashes at its end, a resource is one audience to Entra, and
// so it is here: one acquisition for all rules.
// An audience of users must not be handed the token of one like it that takes
// anybody's, nor one without az that of az.
func TestAudiencesThatDifferInWhoseTokenTheyTakeShareNone(t *testing.T) {
	a := newIdentity(t)
	o := newOrigin(t, "h2", nil, "api.example.test")
	tables := ""
	for name, more := range map[string]string{"any": "", "user": "identity = \"user\"\n", "az": "sources = [\"az\"]\n"} {
		tables += fmt.Sprintf("[audience.%s]\nclient_id = %q\n%s", name, apiOne, more)
		tables += fmt.Sprintf("[[rule]]\nprefix = %q\naudience = %q\n", o.url("/"+name+"/"), name)
	}
	b := newTestbed(t, settings{entra: a, tables: tables})
	c := b.client("h2")
	call(t, c, "GET", o.url("/any/x"), nil).wantStatus(t, http.StatusOK)
	for _, name := range []string{"user", "az"} {
		call(t, c, "GET", o.url("/"+name+"/x"), nil).problem(t, http.StatusBadGateway)
	}
	if n := len(o.taken()); n != 1 {
		t.Errorf("%d requests arrived, want that of the first audience", n)
	}
}

func TestAudiencesThatMeanTheSameShareOneToken(t *testing.T) {
	a := newIdentity(t)
	var seen []string
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) { seen = append(seen, s.bearer()) }, "api.example.test")
	tables := ""
	for i, audience := range []string{
		"resource = \"api://" + apiOne + "\"", "resource = \"api://" + apiOne + "/\"", "resource = \"api://" + apiOne + "//\"",
		"resource = \"api://" + apiTwo + "\"",
		"resource = \"api://" + apiOne + "\"\ntenant = \"" + testTenant + "\"",
	} {
		tables += fmt.Sprintf("[audience.x%d]\n%s\n", i, audience)
	}
	for i := range 5 {
		tables += fmt.Sprintf("[[rule]]\nprefix = %q\naudience = \"x%d\"\n", o.url(fmt.Sprintf("/%d/", i)), i)
	}
	b := newTestbed(t, settings{entra: a, tables: tables})
	c := b.client("h2")
	for i := range 5 {
		call(t, c, "GET", o.url(fmt.Sprintf("/%d/x", i)), nil).wantStatus(t, 200)
	}
	if len(seen) != 5 || seen[0] != seen[1] || seen[1] != seen[2] || seen[0] == seen[3] || seen[0] == seen[4] {
		t.Errorf("slashes made a difference, or none was made: %d tokens", len(seen))
	}
	if n := a.Count(entratest.Request{Endpoint: entratest.TokenEndpoint, Scope: "api://" + apiOne + "/.default"}); n != 2 {
		t.Errorf("%d acquisitions for one API, of which one audience names the tenant; want 2", n)
	}
}
