package e2e_test

import "testing"

// TestPythonFollowsItsEnvironment: urllib takes the proxy from HTTPS_PROXY and
// its roots from SSL_CERT_FILE, which has to be the bundle.
func TestPythonFollowsItsEnvironment(t *testing.T) {
	t.Parallel()
	python := need(t, "python3")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("api.corp.test", g.token, http2too, digest)
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token}})
	c := client{env: []string{"HTTPS_PROXY=" + p.url(), "SSL_CERT_FILE=" + p.bundle()}}
	file, body := randomFile(t, 1<<20)
	out, _ := c.run(t, python, "testdata/client.py", u.url+"/get", u.url+"/post", file)
	if want := digestOf(nil) + digestOf(body); out != want {
		t.Errorf("the upstream got %q, want %q", out, want)
	}
	u.wantVisit(t, "/get", "HTTP/1.1", g.token)
	u.wantVisit(t, "/post", "HTTP/1.1", g.token)
}
