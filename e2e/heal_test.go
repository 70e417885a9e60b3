package e2e_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
)

// TestCurlNeverSeesARefusedToken: a token ends while the request that carries
// it is under way. The upstream refuses it, and the request, upload and all,
// arrives once more with the next one.
func TestCurlNeverSeesARefusedToken(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	file, body := randomFile(t, 5<<20)
	tests := []struct {
		name, proto string
		args        []string
		want        string
	}{
		{"GET over HTTP/1.1", "HTTP/1.1", []string{"--http1.1"}, digestOf(nil)},
		{"GET over HTTP/2", "HTTP/2.0", []string{"--http2"}, digestOf(nil)},
		{"upload over HTTP/1.1", "HTTP/1.1", []string{"--http1.1", "-T", file}, digestOf(body)},
		{"upload over HTTP/2", "HTTP/2.0", []string{"--http2", "-T", file}, digestOf(body)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			next := rand.Text()
			u := w.protected("share.corp.test", func(bearer string) bool {
				if err := replaceFile(g.file, next); err != nil {
					t.Error(err)
				}
				return bearer == next
			}, http2too, digest)
			p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token, next}})
			got, _ := client{}.run(t, program, curl(p, append(tt.args, u.url+"/x")...)...)
			if got != tt.want {
				t.Errorf("the upstream got %q, want %q", got, tt.want)
			}
			var carried []string
			for _, v := range u.to("/x") {
				carried = append(carried, v.header.Get("Authorization"))
				if v.proto != tt.proto {
					t.Errorf("an attempt came over %s, want %s", v.proto, tt.proto)
				}
			}
			if want := []string{"Bearer " + g.token, "Bearer " + next}; !slices.Equal(carried, want) {
				t.Errorf("the attempts carried %q, want %q", carried, want)
			}
		})
	}
}

// TestCurlGetsAReplacedTokenFile: a token that was replaced before the request
// is used without a refusal first.
func TestCurlGetsAReplacedTokenFile(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("mcp.corp.test", g.token, http2too, digest)
	next := rand.Text()
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token, next}})
	client{}.run(t, program, curl(p, "-f", u.url+"/before")...)
	u.accept(next)
	writeFile(t, g.file, next)
	client{}.run(t, program, curl(p, "-f", u.url+"/after")...)
	u.wantVisit(t, "/before", "HTTP/2.0", g.token)
	u.wantVisit(t, "/after", "HTTP/2.0", next)
}

// TestCurlSeesTheUpstreamsOwnRefusal: with nothing better at hand the 401 is
// the client's to see, and the request went out once.
func TestCurlSeesTheUpstreamsOwnRefusal(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("mcp.corp.test", "another", http2too, digest)
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token}})
	got, _ := client{}.run(t, program, curl(p, "-D", "-", u.url+"/x")...)
	for _, want := range []string{"HTTP/2 401", `www-authenticate: Bearer error="invalid_token"`} {
		if !strings.Contains(got, want) {
			t.Errorf("curl saw %q, want %q in it", got, want)
		}
	}
	u.wantVisit(t, "/x", "HTTP/2.0", g.token)
}
