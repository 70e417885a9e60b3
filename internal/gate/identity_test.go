package gate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

func TestAnUpstreamIsToldWhoCallsIfThatIsConfigured(t *testing.T) {
	t.Parallel()
	all := []IdentityHeader{
		{"X-Forwarded-User", "oid"}, {"X-Tid", "tid"}, {"X-Client", "client"}, {"X-Forwarded-Preferred-Username", "username"}, {"X-Name", "name"}, {"X-Scopes", "scopes"}, {"X-Roles", "roles"},
	}
	who := &verify.Caller{
		Tenant: "tenant", Object: "object", Client: "client", Username: "ada@corp.example", Name: "Ada Byron", Scopes: []string{"use", "read"}, Roles: []string{"Reader"}, Expires: time.Now().Add(time.Hour),
	}
	for _, wire := range wires {
		url, heard := witness(t)
		f := stand(t, Options{
			Routes: []Route{{Path: "/told", Allow: true, Protocol: wire.up, Identity: all}, {Path: "/behalf", Allow: true, Protocol: wire.up, Identity: all, OnBehalfOf: new(bureau)}, {Path: "/untold", Allow: true, Protocol: wire.up}},
			Verify: func(context.Context, string) (*verify.Caller, error) { return who, nil },
		}, url).over(t, wire.down)
		for _, path := range []string{"/told", "/behalf", "/untold"} {
			for _, named := range []bool{false, true} {
				req := f.request(t, "POST", path, callEcho)
				for _, i := range all {
					for n, spelling := range spellings(i.Name) {
						req.Header[spelling] = []string{fmt.Sprintf("forged-%d", n), "forged-again"}
					}
					if named && wire.down == "1.1" {
						req.Header.Add("Connection", i.Name)
					}
				}
				res, _ := f.do(t, req)
				got := heard()
				want := []string{
					"X-Forwarded-User: object", "X-Tid: tenant", "X-Client: client", "X-Forwarded-Preferred-Username: ada@corp.example", "X-Name: Ada Byron", "X-Scopes: use read", "X-Roles: Reader",
				}
				for i, line := range want {
					if n := strings.Count(got, line+"\r\n"); (n == 1) != (path != "/untold") || strings.Count(got, all[i].Name+":") != n {
						t.Errorf("%v, %s: %q is there %d times in\n%s", wire, path, line, n, got)
					}
				}
				if res.StatusCode != 200 || strings.Contains(got, "forged") {
					t.Errorf("%v, %s: %s, the upstream saw\n%s", wire, path, res.Status, got)
				}
			}
		}
	}
}

// TestWhatAHeaderCannotSayOfACallerIsLeftOut holds for values that some server would
// read as another's.
func TestWhatAHeaderCannotSayOfACallerIsLeftOut(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Ada Byron": "Ada Byron", "a, b; c=\"d\"": "a, b; c=\"d\"", "": "", "Zoë": "", " ada": "", "ada ": "", "\tada": "", "a\r\nX-Evil: yes": "", "a\x00b": "", "a\x7f": "", "a\tb": "", "~!": "~!",
		"ада": "", "a\u202eb": "", "\u00a0a": "", strings.Repeat("x", mostIdentity): strings.Repeat("x", mostIdentity), strings.Repeat("x", mostIdentity+1): "",
	} {
		if got := identityOf(&verify.Caller{Name: value}, "name"); got != want {
			t.Errorf("%.40q became %.40q", value, got)
		}
	}
	for _, c := range []struct {
		roles []string
		want  string
	}{
		{[]string{"Reader", "Exporter"}, "Reader Exporter"}, {nil, ""}, {[]string{"Reader", "a Admin"}, ""}, {[]string{"Reader", ""}, ""}, {[]string{"Reader", "", "Writer"}, ""}, {[]string{"Reader", "a\nb"}, ""}, {[]string{"Reader", "é"}, ""},
	} {
		if got := identityOf(&verify.Caller{Roles: c.roles}, "roles"); got != c.want {
			t.Errorf("%q became %q", c.roles, got)
		}
	}
	h, mute := http.Header{}, &exchange{route: &route{Route: Route{Identity: []IdentityHeader{{"X-Name", "name"}, {"X-Oid", "oid"}}}}, caller: &verify.Caller{Name: "Zoë", Object: "o"}}
	if mute.introduce(h); len(h) != 1 || h.Get("X-Oid") != "o" {
		t.Errorf("the header is %v", h)
	}
	full := &verify.Caller{Tenant: "t", Object: "o", Client: "c", Name: "n", Username: "u", Scopes: []string{"s"}, Roles: []string{"r"}}
	for _, word := range Identities() {
		if identityOf(full, word) == "" || identityOf(&verify.Caller{}, word) != "" {
			t.Errorf("%s says %q", word, identityOf(full, word))
		}
	}
}

func TestAnIdentityHeaderHasNoOtherMeaning(t *testing.T) {
	t.Parallel()
	take := func(headers ...IdentityHeader) error {
		_, err := New(Options{
			PublicURL: &url.URL{Scheme: "https", Host: "mcp.example"}, Verify: everyone, Log: slog.New(slog.DiscardHandler),
			Routes: []Route{{Path: "/", Upstreams: urls(t, nobody), Identity: headers}},
		})
		return err
	}
	for _, name := range strings.Fields("X-Forwarded-User Remote-User X-Ms-Client-Principal-Id X-User Oid X-Forwarded-Email") {
		if err := take(IdentityHeader{name, "oid"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := strings.Fields(`Authorization Proxy-Authorization Host Cookie Connection Te Trailer Transfer-Encoding Upgrade Content-Length Content-Type Accept Accept-Encoding Mcp-Session-Id
		Mcp-Method X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host Forwarded Traceparent Origin Referer Range If-Match Last-Event-Id Idempotency-Key Sec-Websocket-Key Expect Via
		X_User X.User x-user X-USER X-Üser X:User`)
	for _, name := range slices.Concat(bad, []string{"", "X User", "X-User\r\nX-Evil", http.CanonicalHeaderKey("X-User") + " "}) {
		if take(IdentityHeader{name, "oid"}) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	if take(IdentityHeader{"X-User", "mail"}) == nil || take(IdentityHeader{"X-User", ""}) == nil || take(IdentityHeader{"X-User", "oid"}, IdentityHeader{"X-User", "tid"}) == nil {
		t.Error("what is not known, or twice there, is taken")
	}
}
