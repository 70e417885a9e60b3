package main

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// identityHost is the identity service's, where it is not to be this machine's
// own: that is never reached through a proxy.
const identityHost = "login.example.test"

func atHost(o *entratest.Options) { o.Host = identityHost }

// noProxyVariables are a process's that nobody told of a proxy.
func noProxyVariables(t *testing.T) {
	t.Helper()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToLower(name), "")
	}
}

func TestIdentityTrafficTakesTheConfiguredProxyAndNoOther(t *testing.T) {
	c := newCloud(t, atHost)
	u, err := url.Parse(c.URL())
	must(t, err)
	user := url.UserPassword("proxyuser", "its password")
	for _, tt := range []struct {
		name                    string
		configured, environment func(*switchboard) string
		through                 bool
	}{
		{"URL", func(s *switchboard) string { return s.url(user) }, nil, true},
		{"URL, another in the environment", func(s *switchboard) string { return s.url(user) }, func(*switchboard) string { return "http://127.0.0.1:9" }, true},
		{"environment", func(*switchboard) string { return "env" }, func(s *switchboard) string { return s.url(user) }, true},
		{"direct", func(*switchboard) string { return "direct" }, func(s *switchboard) string { return s.url(user) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.asSecret(t)
			noProxyVariables(t)
			a := c.fresh()
			o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
			board := newSwitchboard(t, map[string]string{u.Host: u.Host, o.authority: o.authority})
			if tt.environment != nil {
				t.Setenv("HTTPS_PROXY", tt.environment(board))
				t.Setenv("http_proxy", tt.environment(board))
			}
			b := c.bed(t, settings{
				entra: c.Authority, top: "upstream_proxy = \"" + tt.configured(board) + "\"",
				tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/")),
			})
			call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
			want := u.Host
			if tt.through {
				want = board.addr
			}
			if dialled := c.dials(); !slices.Equal(slices.Compact(dialled), []string{want}) {
				t.Errorf("dialled %q, want %s alone", dialled, want)
			}
			board.mu.Lock()
			defer board.mu.Unlock()
			i := slices.Index(board.asked, "CONNECT "+u.Host)
			if (i >= 0) != tt.through {
				t.Errorf("the proxy was asked %q", board.asked)
			}
			if tt.through && board.shown[i] != basic("proxyuser", "its password") {
				t.Error("the proxy was not shown its password")
			}
		})
	}
}

// The endpoints of managed identities are the machine's own, in the clear, and
// a proxy has no business there.
func TestManagedIdentityIsAskedThroughNoProxy(t *testing.T) {
	c := newCloud(t)
	for _, p := range principals()[3:] {
		t.Run(p.name, func(t *testing.T) {
			c.as(t, p)
			noProxyVariables(t)
			own := metadataAddr
			if p.name == "App Service" { // by a name: no proxy is asked about this machine
				port := port(addrOf(t, c.IdentityURL()))
				own = net.JoinHostPort("identity.example.test", port)
				t.Setenv("IDENTITY_ENDPOINT", "http://"+own+"/msi/token")
			}
			a := c.fresh()
			o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
			board := newSwitchboard(t, map[string]string{o.authority: o.authority})
			for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
				t.Setenv(name, board.url(nil))
			}
			b := c.bed(t, settings{
				entra: c.Authority, top: "upstream_proxy = \"" + board.url(nil) + "\"",
				tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/")),
			})
			call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
			if dialled := c.dials(); !slices.Equal(slices.Compact(dialled), []string{own}) {
				t.Errorf("dialled %q, want %s alone", dialled, own)
			}
			board.mu.Lock()
			defer board.mu.Unlock()
			if !slices.Equal(slices.Compact(board.asked), []string{"CONNECT " + o.authority}) {
				t.Errorf("the proxy was asked %q, want to reach the API alone", board.asked)
			}
		})
	}
}

func addrOf(t *testing.T, base string) net.Addr {
	t.Helper()
	u, err := url.Parse(base)
	must(t, err)
	a, err := net.ResolveTCPAddr("tcp", u.Host)
	must(t, err)
	return a
}

func TestIdentityServiceOfAnUntrustedAuthorityIsNotAsked(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	a := c.fresh()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := c.bed(t, settings{tables: "[entra]\nauthority_host = \"" + c.URL() + "\"\ndisable_instance_discovery = true\n" +
		audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))})
	p := call(t, b.client("h2"), "GET", o.url("/"), nil).problem(t, http.StatusBadGateway)
	if !strings.Contains(p.Detail, "certificate is not trusted") || !strings.Contains(p.Hint, "upstream_ca") {
		t.Errorf("%+v", p)
	}
	o.nothing(t)
	if n := len(c.Requests()); n != 0 {
		t.Errorf("%d requests reached it", n)
	}
}
