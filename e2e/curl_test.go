package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// curl returns the arguments every curl here has.
func curl(p *serving, args ...string) []string {
	return append([]string{"-q", "-sS", "--proxy", p.url(), "--cacert", p.root()}, args...)
}

func TestCurlGetsTokenUnderItsPrefixOnly(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	upstreams := map[string]*upstream{
		"1.1": w.upstream("h1.corp.test", g.token, http1only, digest),
		"2":   w.upstream("h2.corp.test", g.token, http2too, digest),
	}
	p := w.serve(options{rules: g.rules("", "https://h1.corp.test/mcp", "https://h2.corp.test/mcp"), hidden: []string{g.token}})
	protos := map[string]string{"1.1": "HTTP/1.1", "2": "HTTP/2.0"}
	for down, flag := range map[string]string{"1.1": "--http1.1", "2": "--http2"} {
		for up, u := range upstreams {
			t.Run(fmt.Sprintf("client %s upstream %s", down, up), func(t *testing.T) {
				// Each leg speaks the client's protocol if the upstream can.
				proto := protos[min(down, up)]
				path := "/mcp/" + down
				get := func(path string) string {
					out, _ := client{}.run(t, program, curl(p, flag, "-o", os.DevNull, "-w", "%{http_code} %{http_version}", u.url+path)...)
					return out
				}
				if got, want := get(path), "200 "+down; got != want {
					t.Errorf("under the prefix: %q, want %q", got, want)
				}
				u.wantVisit(t, path, proto, g.token)
				path = "/mcp-admin/" + down
				if got, want := get(path), "401 "+down; got != want {
					t.Errorf("outside: %q, want %q", got, want)
				}
				u.wantVisit(t, path, proto, "")
			})
		}
	}
	if !w.passed("h1.corp.test:443") {
		t.Error("the upstream proxy of the configuration was not used")
	}
}

// TestCurlSeesTheOriginsCertificate where no rule names the host: what it
// trusts then is the origin's root, and ours would not do.
func TestCurlSeesTheOriginsCertificate(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("elsewhere.corp.test", g.token, http2too, digest)
	p := w.serve(options{rules: g.rules("", "https://mcp.corp.test/"), hidden: []string{g.token}})
	got, _ := client{}.run(t, program, curl(p, "--cacert", w.caFile, "-o", os.DevNull, "-w", "%{http_code}", u.url+"/x")...)
	if got != "401" {
		t.Errorf("curl saw %q, want 401", got)
	}
	u.wantVisit(t, "/x", "HTTP/2.0", "")
	if _, errs, err := (client{}).try(t, program, curl(p, u.url+"/y")...); err == nil || !strings.Contains(errs, "certificate") {
		t.Errorf("with our root alone: %v %q, want a refusal of the certificate", err, errs)
	}
}

func TestCurlUploadsWithExpect(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("share.corp.test", g.token, http2too, digest)
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token}})
	file, body := randomFile(t, 5<<20)
	for down, flag := range map[string]string{"1.1": "--http1.1", "2": "--http2"} {
		t.Run("client "+down, func(t *testing.T) {
			out, trace := client{}.run(t, program, curl(p, flag, "-v", "-H", "Expect: 100-continue", "-T", file, u.url+"/put")...)
			if out != digestOf(body) {
				t.Errorf("upstream got %q, want %q", out, digestOf(body))
			}
			if !strings.Contains(trace, "< HTTP/"+down+" 100") {
				t.Errorf("curl saw no 100 (Continue):\n%s", trace)
			}
		})
	}
	u.wantGuarded(t)
}

func TestCurlShowsTheCredential(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("mcp.corp.test", g.token, http2too, digest)
	p := w.serve(options{rules: g.rules("", u.url+"/"), access: "credential", hidden: []string{g.token}})
	tests := []struct {
		name, user string
		want       string // of the CONNECT, then of the request
	}{
		{"right", "injectproxy:" + p.credential(t), "200 200"},
		{"wrong", "injectproxy:" + strings.Repeat("x", 43), "407 000"},
		{"none", "", "407 000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"-o", os.DevNull, "-w", "%{http_connect} %{http_code}", u.url + "/" + tt.name}
			if tt.user != "" {
				args = append(args, "--proxy-user", tt.user)
			}
			got, _, _ := client{}.try(t, program, curl(p, args...)...)
			if got != tt.want {
				t.Errorf("CONNECT and request: %q, want %q", got, tt.want)
			}
			if arrived, want := len(u.to("/"+tt.name)) > 0, tt.want == "200 200"; arrived != want {
				t.Errorf("the request arrived: %v, want %v", arrived, want)
			}
		})
	}
	u.wantGuarded(t)
}
