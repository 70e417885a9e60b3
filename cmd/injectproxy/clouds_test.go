package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// trusting are the files of a configuration that trusts clouds which its
// [entra] need not name.
func trusting(clouds ...*cloud) map[string]string {
	roots := string(origins().pem)
	for _, c := range clouds {
		roots += string(c.CAPEM())
	}
	return map[string]string{"origins.pem": roots}
}

func TestAuthorityHostOfTheConfigurationIsAskedBeforeTheEnvironments(t *testing.T) {
	c, other := newCloud(t), newCloud(t)
	for _, tt := range []struct {
		name, configured, environment string
		want                          *cloud
	}{
		{"configuration alone", c.URL(), "", c},
		{"configuration with a slash", c.URL() + "/", "", c},
		{"environment alone", "", other.URL(), other},
		{"both", c.URL(), other.URL(), c},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.asSecret(t)
			t.Setenv("AZURE_AUTHORITY_HOST", tt.environment)
			a := tt.want.fresh()
			o := newOrigin(t, "h2", protected(tt.want.Authority, a.id), "api.example.test")
			line := "disable_instance_discovery = true\n"
			if tt.configured != "" {
				line += "authority_host = \"" + tt.configured + "\"\n"
			}
			b := c.bed(t, settings{
				files:  trusting(c, other),
				tables: "[entra]\n" + line + audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/")),
			})
			call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
			want, _ := url.Parse(tt.want.URL())
			if dialled := c.dials(); !slices.Equal(slices.Compact(dialled), []string{want.Host}) {
				t.Errorf("dialled %q, want %s alone", dialled, want.Host)
			}
		})
	}
}

// azidentity has an authority that it does not know confirmed by the public
// cloud. Where that cannot be reached, there is the switch.
func TestInstanceDiscoveryAsksThePublicCloudUnlessItIsTurnedOff(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	for _, tt := range []struct {
		line string
		asks bool
	}{
		{"disable_instance_discovery = true", false},
		{"disable_instance_discovery = false", true},
		{"", true},
	} {
		a := c.fresh()
		o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
		b := c.bed(t, settings{
			files:  trusting(c),
			tables: "[entra]\nauthority_host = \"" + c.URL() + "\"\n" + tt.line + "\n" + audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/")),
		})
		r := call(t, b.client("h2"), "GET", o.url("/"), nil)
		dialled := c.dials()
		if got := slices.Contains(dialled, "login.microsoftonline.com:443"); got != tt.asks {
			t.Errorf("%q: dialled %q", tt.line, dialled)
		}
		if !tt.asks {
			r.wantStatus(t, http.StatusOK)
			continue
		}
		if p := r.problem(t, http.StatusServiceUnavailable); !strings.Contains(p.Detail, "login.microsoftonline.com") {
			t.Errorf("%q: %+v", tt.line, p)
		}
		o.nothing(t)
	}
}

func TestPublicCloudIsAskedUnlessAnotherIsConfigured(t *testing.T) {
	noProxyVariables(t)
	c := newCloud(t, func(o *entratest.Options) { o.Public = true })
	c.asSecret(t)
	a := c.fresh()
	o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
	b := c.bed(t, settings{
		top:    "upstream_proxy = \"" + c.ProxyURL() + "\"\nno_proxy = [\".example.test\"]",
		files:  trusting(c),
		tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/")),
	})
	call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
	if asks := c.asks(a); len(asks) != 1 || asks[0].Tenant != testTenant {
		t.Errorf("asked %v", asks)
	}
}
