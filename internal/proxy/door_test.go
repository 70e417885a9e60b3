package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// door opens a connection to the proxy port.
func (w *world) door() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	fatal(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(guard))
	return c
}

func TestRequestsThatAreNotForAProxy(t *testing.T) {
	w := newWatched(t, "h1")
	for raw, want := range map[string]reply{
		get1("/", w.addr):                                      {status: 405, body: "not-a-proxy-request"},
		get1("/v1/x", w.authority):                             {status: 405, body: "not-a-proxy-request"},
		request1("OPTIONS", "*", []string{"Host: x"}, ""):      {status: 405, body: "not-a-proxy-request"},
		get1("https://"+w.authority+"/v1/x", w.authority):      {status: 400, body: "cleartext-https"},
		get1("ftp://"+w.authority+"/v1/x", w.authority):        {status: 400, body: "cleartext-https"},
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                     {status: 405, body: "not-a-proxy-request"},
		"CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n":  {status: 400, body: "malformed-request"},
		"CONNECT api.test: HTTP/1.1\r\nHost: api.test\r\n\r\n": {status: 400, body: "malformed-request"},
		"CONNECT a@api.test:443 HTTP/1.1\r\nHost: x\r\n\r\n":   {status: 400, body: "malformed-request"},
		"CONNECT /v1/x HTTP/1.1\r\nHost: x\r\n\r\n":            {status: 400, body: "malformed-request"},
	} {
		method, _, _ := strings.Cut(raw, " ")
		t.Run(raw, func(t *testing.T) {
			wantAnswer(t, rawHTTP1(t, w.door(), method, raw), want.status, want.body)
			w.wantNothingSent(t)
		})
	}
}

// What net/http refuses by itself looks like every other answer.
func TestRefusalsOfTheServerItself(t *testing.T) {
	w := newWatched(t, "h1")
	host := "Host: " + w.authority + "\r\n"
	for name, c := range map[string]struct {
		raw    string
		status int
		typ    string
	}{
		"request line":        {"GET\r\n" + host + "\r\n", 400, "malformed-request"},
		"garbage":             {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed-request"},
		"method":              {"G(T / HTTP/1.1\r\n" + host + "\r\n", 400, "malformed-request"},
		"target":              {"GET /% HTTP/1.1\r\n" + host + "\r\n", 400, "malformed-request"},
		"version":             {"GET / HTTP/x\r\n" + host + "\r\n", 400, "malformed-request"},
		"version 3":           {"GET / HTTP/3.0\r\n" + host + "\r\n", 400, "malformed-request"},
		"no host":             {"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"},
		"field without colon": {"GET / HTTP/1.1\r\n" + host + "foo\r\n\r\n", 400, "malformed-request"},
		"field name":          {"GET / HTTP/1.1\r\n" + host + "f(o: x\r\n\r\n", 400, "malformed-request"},
		"field value":         {"GET / HTTP/1.1\r\n" + host + "foo: a\x01\r\n\r\n", 400, "malformed-request"},
		"transfer coding":     {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 400, "malformed-request"},
		"expectation":         {"POST / HTTP/1.1\r\n" + host + "Expect: miracles\r\nContent-Length: 0\r\n\r\n", 417, "malformed-request"},
		"header size":         {"GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n", 431, "header-too-large"},
		"header size, split":  {"GET / HTTP/1.1\r\n" + host + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 300) + "\r\n", 431, "header-too-large"},
	} {
		t.Run(name+" at the door", func(t *testing.T) {
			wantAnswer(t, rawHTTP1(t, w.door(), "GET", c.raw), c.status, c.typ)
		})
		t.Run(name+" inside", func(t *testing.T) {
			wantAnswer(t, rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), "GET", c.raw), c.status, c.typ)
		})
	}
	w.wantNothingSent(t)
}

// An upstream's own answers are not taken for refusals of the server.
func TestRefusalsOfTheUpstreamPass(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{417, ""}, {400, "400 Bad Request"}, {501, "Unsupported transfer encoding"}, {431, "431 Request Header Fields Too Large"}} {
		w := newWatched(t, "h1")
		w.upstream.answer = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			rw.WriteHeader(answer.status)
			rw.Write([]byte(answer.body))
		}
		res := rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), "GET", get1("/v1/x", w.authority, "Connection: close"))
		if res.status != answer.status || res.body != answer.body || res.header.Get("Proxy-Status") != "" {
			t.Errorf("%+v, want the upstream's %+v", res, answer)
		}
	}
}

func TestTraceWhereATokenIsAttachedIsRefused(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		w := newWatched(t, upstream)
		wantAnswer(t, rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), "TRACE", request1("TRACE", "/v1/x", []string{"Host: " + w.authority}, "")), 405, "trace-refused")
		header := get2("/v1/x", w.authority)
		header[1] = "TRACE"
		wantAnswer(t, newHTTP2Raw(t, w.tlsTo(w.authority, "h2")).request(header, "", nil), 405, "trace-refused")
		w.wantNothingSent(t)
	}
}

// A request in the clear never carries a token, whatever its host.
func TestPlainRequestGetsNoToken(t *testing.T) {
	upstream := new(recorder)
	l := listenLoopback(t)
	s := &http.Server{Handler: upstream}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	authority := "api.test:" + port
	w := newWorld(t, newOrigins(t), worldOptions{prefixes: []string{"https://" + authority + "/", "https://api.test/"}})
	c := w.door()
	for _, target := range []string{"/v1/x", "/", "/a%2fb?x;y"} {
		res := rawHTTP1(t, c, "GET", get1("http://"+authority+target, authority))
		list := upstream.take()
		if res.status != 200 || len(list) != 1 {
			t.Fatalf("%s: %+v, upstream saw %+v", target, res, list)
		}
		if s := list[0]; s.target != target || s.host != authority || len(s.header) != 0 {
			t.Errorf("%s: upstream saw %+v", target, s)
		}
	}
}

func TestProhibitedDestinations(t *testing.T) {
	own := listenLoopback(t)
	_, ownPort, _ := net.SplitHostPort(own.Addr().String())
	resolve := func(ctx context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "metadata.test":
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
		case "mapped.test":
			return []netip.Addr{netip.MustParseAddr("::ffff:169.254.169.254")}, nil
		case "linklocal.test":
			return []netip.Addr{netip.MustParseAddr("fe80::1%1")}, nil
		case "agent.test":
			return []netip.Addr{netip.MustParseAddr("168.63.129.16")}, nil
		}
		return resolveTest(ctx, host)
	}
	for _, via := range []string{"", "another proxy"} {
		for _, host := range []string{
			"169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192", "[fd00:ec2::254]", "[fe80::1]", "[::ffff:169.254.169.254]", "224.0.0.1",
			"metadata.test", "mapped.test", "linklocal.test", "agent.test", "own.test",
		} {
			if via != "" && strings.HasSuffix(host, ".test") {
				continue // the other proxy resolves it
			}
			for _, intercepted := range []bool{false, true} {
				authority := host + ":443"
				if host == "own.test" {
					authority = host + ":" + ownPort
				}
				name := authority + " through " + via
				if intercepted {
					name += ", intercepted"
				}
				t.Run(name, func(t *testing.T) { prohibited1(t, authority, via, intercepted, own, resolve) })
			}
		}
	}
}

func prohibited1(t *testing.T, authority, via string, intercepted bool, own net.Listener, resolve func(context.Context, string) ([]netip.Addr, error)) {
	o := worldOptions{dial: DialOptions{Own: IsListener(own.Addr()), Resolve: resolve}}
	if via != "" {
		o.dial.Proxy = func(*url.URL) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }
	}
	if intercepted {
		o.prefixes = []string{"https://" + authority + "/"}
	}
	w := newWorld(t, newOrigins(t), o)
	const typ = "destination-prohibited"
	if !intercepted {
		connect := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
		wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", connect), 403, typ)
		wantAnswer(t, rawHTTP1(t, w.door(), "GET", get1("http://"+authority+"/", authority)), 403, typ)
		return
	}
	// The CA of these tests signs for some of the hosts only; what the leaf
	// says is not the subject here.
	leaf := newOrigins(t)
	w.proxy.o.Leaf = func(host string) (*tls.Certificate, error) {
		c := leaf.issue(t, host, nil)
		return &c, nil
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		c := tls.Client(w.connect(authority, ""), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}})
		fatal(t, c.Handshake())
		if proto == "h2" {
			wantAnswer(t, newHTTP2Raw(t, c).request(get2("/", authority), "", nil), 403, typ)
		} else {
			wantAnswer(t, rawHTTP1(t, c, "GET", get1("/", authority)), 403, typ)
		}
	}
}

func TestLoopbackIsProhibitedOnASharedInstance(t *testing.T) {
	w := newWorld(t, newOrigins(t), worldOptions{dial: DialOptions{NoLoopback: true}})
	for _, authority := range []string{"127.0.0.1:443", "127.9.9.9:443", "[::1]:443", "localhost:443", "0.0.0.0:443", "[::]:443", "any.test:443"} {
		connect := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
		wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", connect), 403, "destination-prohibited")
		wantAnswer(t, rawHTTP1(t, w.door(), "GET", get1("http://"+authority+"/", authority)), 403, "destination-prohibited")
	}
}

func TestOnlyRulesAreReachedWhereAskedFor(t *testing.T) {
	origins, upstream := newOrigins(t), new(recorder)
	api := origins.startUpstream(t, "api.test", "h2", upstream)
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}, rulesOnly: true})
	for _, authority := range []string{"other.test:443", "api.test:1", "api.test.evil.test:443"} {
		connect := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
		wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", connect), 403, "no-rule")
	}
	if res := rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1("/v2", api)); res.status != 200 {
		t.Errorf("a rule's host: %+v", res)
	}
}

func TestRefusedAuthorityIsAnsweredAtOnce(t *testing.T) {
	w := newWatched(t, "h1")
	rules := *w.proxy.rules.Load().Rules
	rules.Refused = map[string]*Answer{w.authority: {Status: 502, Type: "outside-ca", Title: "t", Detail: "d", Hint: "injectproxy ca rotate"}}
	w.proxy.SetRules(&rules)
	connect := "CONNECT " + strings.ToUpper(w.authority) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", connect), 502, "outside-ca")
	w.wantNothingSent(t)
}
