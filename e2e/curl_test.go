package e2e_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gateway is an audience whose token is in a file, and one rule for it.
type gateway struct {
	token string
	file  string
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{token: rand.Text(), file: filepath.Join(t.TempDir(), "token")}
	writeFile(t, g.file, g.token+"\n")
	return g
}

// rules is the TOML for rules with these prefixes; more goes into each of
// them.
func (g *gateway) rules(more string, prefixes ...string) string {
	toml := fmt.Sprintf("[audience.gateway]\ntoken_file = %q\n", g.file)
	for _, p := range prefixes {
		toml += fmt.Sprintf("[[rule]]\nprefix = %q\naudience = \"gateway\"\n%s\n", p, more)
	}
	return toml
}

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

// randomFile writes n random bytes into a file of the test's.
func randomFile(t *testing.T, n int) (name string, content []byte) {
	t.Helper()
	content = make([]byte, n)
	rand.Read(content)
	name = filepath.Join(t.TempDir(), "random")
	writeFile(t, name, string(content))
	return name, content
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
