package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestIdentityHeadersAreReadInOrder(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, trustworthy+`[route.identity_headers]
"X-Zed" = "oid"
x-forwarded-email = "username"
"X-Forwarded-User" = "name"
X-Client = "client"
X-Tid = "tid"
X-1 = "scopes"
X-Roles = "roles"
`)
	wantProblems(t, problems)
	if g == nil {
		t.Fatal("no gate")
	}
	var got []string
	for _, i := range g.Routes[0].Identity {
		got = append(got, fmt.Sprintf("%d %s=%s", i.Pos.Line, i.Header, i.Of))
	}
	const want = "12 X-Zed=oid, 13 X-Forwarded-Email=username, 14 X-Forwarded-User=name, 15 X-Client=client, 16 X-Tid=tid, 17 X-1=scopes, 18 X-Roles=roles"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

// A header that means something else is none for this, in whatever case.
func TestMistakesOfIdentityHeadersAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{`"X-User" = "objectid"`, `"X-User" tells "oid", "tid", "client", "username", "name", "scopes" or "roles", not "objectid" [oid says who it is`},
		{`"X-User" = "user_name"`, `did you mean "username"?`},
		{`"X-User" = "OID"`, `did you mean "oid"?`},
		{`"X-User" = ""`, "tells"},
		{`"X-User" = { claim = "oid" }`, "X-User must be a string, not a table"},
		{`X.User = "oid"`, "X must be a string, not a table"},
		{`"" = "oid"`, "has other than letters, digits and hyphens"},
		{`"X_User" = "oid"`, `"X_User" has other than letters, digits and hyphens [servers take`},
		{`"X-User:" = "oid"`, "has other than letters"},
		{`"X User" = "oid"`, "has other than letters"},
		{`"X-User\r\nHost" = "oid"`, "has other than letters"},
		{`"-X" = "oid"`, "has other than letters"},
		{`"X-Üser" = "oid"`, "has other than letters"},
		{`"x-user" = "oid"` + "\n" + `"X-User" = "tid"`, `"X-User" stands there twice: case does not count`},
		{`"X-User" = "oid"` + "\n" + `"x-user" = "tid"`, `"x-user" stands there twice: case does not count`},
		{`"authorization" = "oid"`, `"authorization" means something else [such as "X-Forwarded-User"]`},
		{`"Cookie" = "oid"`, "means something else"},
		{`"HOST" = "oid"`, "means something else"},
		{`"Connection" = "oid"`, "means something else"},
		{`"Transfer-Encoding" = "oid"`, "means something else"},
		{`"Proxy-Authorization" = "oid"`, "means something else"},
		{`"Content-Length" = "oid"`, "means something else"},
		{`"Accept" = "oid"`, "means something else"},
		{`"Accept-Encoding" = "oid"`, "means something else"},
		{`"Mcp-Session-Id" = "oid"`, "means something else"},
		{`"Last-Event-ID" = "oid"`, "means something else"},
		{`"X-Forwarded-For" = "oid"`, "means something else"},
		{`"X-Forwarded-Proto" = "oid"`, "means something else"},
		{`"X-Forwarded-Host" = "oid"`, "means something else"},
		{`"Traceparent" = "oid"`, "means something else"},
		{`"Origin" = "oid"`, "means something else"},
	} {
		g, problems := loadGate(t, trustworthy+"[route.identity_headers]\n"+tt.line+"\n")
		line := 12 + strings.Count(tt.line, "\n")
		wantProblems(t, problems, fmt.Sprintf("gate.toml:%d: |%s", line, tt.want))
		if g != nil {
			t.Errorf("%s: it is used", tt.line)
		}
	}
}
