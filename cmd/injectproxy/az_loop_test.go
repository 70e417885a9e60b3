//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// proxyVariables returns the proxy variables of r, sorted.
func (r *azRun) proxyVariables() (found []string) {
	for _, kv := range r.Env {
		if name, _, _ := strings.Cut(strings.ToLower(kv), "="); strings.HasSuffix(name, "_proxy") {
			found = append(found, kv)
		}
	}
	slices.Sort(found)
	return found
}

// The shell that starts serve may have been set up for its clients before.
func TestAzIsNotSentThroughUs(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for name, tt := range map[string]struct {
		setting string
		environ []string // PORT is ours
		want    []string // CONFIGURED is the configured one
	}{
		"direct": {"direct", []string{
			"HTTPS_PROXY=http://127.0.0.1:PORT", "https_proxy=http://localhost:PORT", "HTTP_PROXY=http://proxy.example.test:3128",
			"ALL_PROXY=socks5://127.0.0.1:PORT", "NO_PROXY=example.test",
		}, nil},
		"configured": {"CONFIGURED", []string{
			"HTTPS_PROXY=http://127.0.0.1:PORT", "https_proxy=http://localhost:PORT", "http_proxy=http://127.0.0.1:3128", "ALL_PROXY=127.0.0.1:PORT", "no_proxy=*",
		}, []string{"HTTPS_PROXY=CONFIGURED", "HTTP_PROXY=CONFIGURED", "NO_PROXY=internal.example.test,localhost,127.0.0.1,::1,169.254.169.254"}},
		"environment, by address": {"env", []string{
			"HTTPS_PROXY=http://127.0.0.1:PORT", "https_proxy=127.0.0.1:PORT", "HTTP_PROXY=http://user:password@127.0.0.1:PORT/",
			"http_proxy=https://127.0.0.1:PORT", "ALL_PROXY=socks5://127.0.0.1:PORT", "all_proxy=http://[::ffff:127.0.0.1]:PORT",
		}, nil},
		"environment, by name": {"env", []string{
			"HTTPS_PROXY=http://localhost:PORT", "https_proxy=localhost:PORT", "HTTP_PROXY=http://LOCALHOST:PORT",
			"http_proxy=http://user:password@localhost:PORT/path", "ALL_PROXY=http://0.0.0.0:PORT", "no_proxy=localhost:PORT",
		}, []string{"no_proxy=localhost:PORT,localhost,127.0.0.1,::1,169.254.169.254"}},
		"environment, none spared": {"env", []string{"HTTPS_PROXY=http://127.0.0.1:1"}, []string{"HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=localhost,127.0.0.1,::1,169.254.169.254"}},
		"environment, another": {"env", []string{
			"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:PORT", "NO_PROXY=example.test",
		}, []string{"HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=example.test,localhost,127.0.0.1,::1,169.254.169.254"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			board := newSwitchboard(t, map[string]string{o.authority: o.authority})
			configured := board.url(url.UserPassword("proxyuser", "proxy-password"))
			top := fmt.Sprintf("upstream_proxy = %q\n", strings.Replace(tt.setting, "CONFIGURED", configured, 1))
			if tt.setting == "CONFIGURED" {
				top += "no_proxy = [\"internal.example.test\"]\n"
			}
			var ours string
			b := newTestbed(t, settings{entra: a, top: top, tables: autoLogin + azAudience + rule(o.url("/"))}, func(_ *config.Config, s *surroundings) {
				ours = port(s.listeners[0])
				for _, kv := range tt.environ {
					s.environ = append(s.environ, strings.Replace(kv, "PORT", ours, 1))
				}
			})
			az := b.az(a)
			az.refuses(azSaid(t, "not-signed-in"))
			call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
			var want []string
			for _, kv := range tt.want {
				want = append(want, strings.NewReplacer("PORT", ours, "CONFIGURED", configured).Replace(kv))
			}
			for _, r := range az.wait(3) { // the sign-in, too
				if got := r.proxyVariables(); !slices.Equal(got, want) {
					t.Errorf("az %q has %q, want %q", r.Args, got, want)
				}
			}
			if text := b.log.String(); strings.Contains(text, "msg=tunnel") || strings.Count(text, "msg=request") != 1 {
				t.Errorf("more than the client's request passed:\n%s", text)
			}
		})
	}
}

// A serve in such a shell, real from end to end: neither its own requests nor
// those of what it starts come back to it.
func TestNothingOfOursPassesThroughUs(t *testing.T) {
	t.Parallel()
	a := startIdentity(t)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	home, free := t.TempDir(), freePort(t)
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority})
	settings{
		entra: a, top: fmt.Sprintf("listen = \"127.0.0.1:%s\"\nupstream_proxy = %q", free, board.url(nil)),
		tables: "[log]\nlevel = \"debug\"\n" + azAudience + "[audience.b]\nclient_id = \"" + apiOne + "\"\n" +
			rule("https://api.example.test/v1/") + strings.Replace(rule("https://api.example.test/v2/"), `"a"`, `"b"`, 1),
	}.write(t, home)
	az := azAt(t, home, a)
	us := "http://localhost:" + free
	d := startDaemon(t, home, toolEnv(home, "HTTPS_PROXY="+us, "https_proxy="+us, "HTTP_PROXY="+us, "http_proxy="+us, "ALL_PROXY="+us,
		"AZURE_TENANT_ID="+testTenant, "AZURE_CLIENT_ID="+testClient, "AZURE_CLIENT_SECRET="+testSecret))
	c := d.client("h2", nil)
	for _, path := range []string{"/v1/x", "/v2/x"} {
		call(t, c, "GET", "https://api.example.test"+path, nil).wantStatus(t, http.StatusOK)
		d.log.wait(t, "msg=request", "path="+path)
	}
	d.log.wait(t, `msg="first token"`, "source=az")
	d.log.wait(t, `msg="first token"`, "source=default")
	for _, r := range az.wait(1) {
		if got, want := r.proxyVariables(), []string{"HTTPS_PROXY=" + board.url(nil), "HTTP_PROXY=" + board.url(nil), "NO_PROXY=localhost,127.0.0.1,::1,169.254.169.254"}; !slices.Equal(got, want) {
			t.Errorf("az has %q, want %q", got, want)
		}
		if bundle := filepath.Join(home, "ca", "bundle.pem"); r.variable("REQUESTS_CA_BUNDLE") != bundle || r.variable("SSL_CERT_FILE") != bundle {
			t.Errorf("az does not trust upstream_ca: %q", r.variable("REQUESTS_CA_BUNDLE"))
		}
	}
	if text := d.log.String(); strings.Contains(text, "msg=tunnel") || strings.Count(text, "msg=request") != 2 {
		t.Errorf("more than the client's requests passed:\n%s", text)
	}
}
