package e2e_test

import "testing"

// TestJavaHttpClient: a JDK's client with a trust store that has our root and
// nothing else. Java is the client that looks at the constraints of the
// intermediate alone.
func TestJavaHttpClient(t *testing.T) {
	t.Parallel()
	thorough(t)
	need(t, "javac") // a program in one file is compiled first
	java := need(t, "java")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("api.corp.test", g.token, http2too, digest)
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token}})
	file, body := randomFile(t, 1<<20)
	protos := map[string]string{"HTTP_1_1": "HTTP/1.1", "HTTP_2": "HTTP/2.0"}
	// One Java for both versions: compiling takes longer than the requests.
	out, _ := client{}.run(t, java, "-XX:TieredStopAtLevel=1", "testdata/Client.java", p.address, p.root(), u.url, file)
	if want := "HTTP_1_1 200 " + digestOf(body) + "HTTP_2 200 " + digestOf(body); out != want {
		t.Errorf("Java saw %q, want %q", out, want)
	}
	for version, proto := range protos {
		u.wantVisit(t, "/"+version, proto, g.token)
	}
}
