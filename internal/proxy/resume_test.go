package proxy

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"testing"
)

// onlyCache is a client's session cache that knows no names: what one server
// gave it, it offers to every other.
type onlyCache struct{ session *tls.ClientSessionState }

func (c *onlyCache) Get(string) (*tls.ClientSessionState, bool) {
	return c.session, c.session != nil
}

func (c *onlyCache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.session = s
	}
}

// resumes makes an interception of authority with the sessions in cache and
// reports whether one of them was resumed.
func (w *world) resumes(authority, serverName string, version uint16, cache tls.ClientSessionCache) bool {
	w.t.Helper()
	c := tls.Client(w.connect(authority, ""), &tls.Config{
		// A session of another host holds a certificate that a client would
		// refuse before it asked us; this one leaves the refusal to us.
		InsecureSkipVerify: true,
		ServerName:         serverName, MinVersion: version, MaxVersion: version, ClientSessionCache: cache,
	})
	defer c.Close()
	fatal(w.t, c.Handshake())
	if r := rawHTTP1(w.t, c, "GET", get1("/", authority)); r.status != 200 { // TLS 1.3 tickets come with the first bytes
		w.t.Fatalf("%s: %+v", authority, r)
	}
	return c.ConnectionState().DidResume
}

func TestSecondTunnelResumesTLS(t *testing.T) {
	t.Parallel()
	eachTLSVersion(t, func(t *testing.T, version uint16) {
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", "h1", new(recorder))
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/"}})
		cache := new(onlyCache)
		for i, want := range []bool{false, true, true} {
			if got := w.resumes(api, "api.test", version, cache); got != want {
				t.Errorf("tunnel %d: resumed %t, want %t", i, got, want)
			}
		}
		if !w.resumes(api, "API.test", version, cache) {
			t.Error("a name in other case is another name")
		}
	})
}

func TestTicketOfOneHostIsNoneForAnother(t *testing.T) {
	t.Parallel()
	eachTLSVersion(t, func(t *testing.T, version uint16) {
		origins := newOrigins(t)
		up := new(recorder)
		a := origins.startUpstream(t, "a.test", "h1", up)
		b := origins.startUpstream(t, "b.test", "h1", up)
		ip := origins.startUpstream(t, "127.0.0.1", "h1", up)
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + a + "/", "https://" + b + "/", "https://" + ip + "/"}})
		cache := new(onlyCache)
		w.resumes(a, "a.test", version, cache)
		ofA := cache.session
		for _, c := range []struct{ authority, serverName string }{{b, "b.test"}, {b, ""}, {ip, ""}, {a, ""}} {
			if w.resumes(c.authority, c.serverName, version, &onlyCache{ofA}) {
				t.Errorf("a ticket of a.test was resumed at %s as %q", c.authority, c.serverName)
			}
		}
		w.resumes(a, "", version, cache) // a ticket without a name
		if w.resumes(b, "b.test", version, &onlyCache{cache.session}) || w.resumes(ip, "", version, &onlyCache{cache.session}) {
			t.Error("a ticket without a name was resumed elsewhere")
		}
		// The name must not be enough either: it has to be that of the CONNECT.
		c := tls.Client(w.connect(b, ""), &tls.Config{InsecureSkipVerify: true, ServerName: "a.test", MinVersion: version, MaxVersion: version, ClientSessionCache: &onlyCache{ofA}})
		if err := c.Handshake(); err == nil {
			t.Error("a ticket of a.test opened a tunnel for b.test under the name a.test")
		}
	})
}

func TestTicketsOfAnotherInstanceAreNotResumed(t *testing.T) {
	t.Parallel()
	eachTLSVersion(t, func(t *testing.T, version uint16) {
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", "h1", new(recorder))
		o := worldOptions{prefixes: []string{"https://" + api + "/"}}
		cache := new(onlyCache)
		newWorld(t, origins, o).resumes(api, "api.test", version, cache)
		if newWorld(t, origins, o).resumes(api, "api.test", version, cache) {
			t.Error("resumed")
		}
	})
}

// TestUpstreamSessionsStayWithTheirHost holds the same for the other leg: the
// proxy offers a session of one upstream to no other.
func TestUpstreamSessionsStayWithTheirHost(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	// Both names are served by one server, which would resume for either.
	offered := make(chan string, 16)
	cfg := &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert := origins.issue(t, h.ServerName, nil)
		return &cert, nil
	}}
	cfg.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		offered <- cs.ServerName
		return cfg.DecryptTicket(identity, cs)
	}
	l := listenLoopback(t)
	s := &http.Server{Handler: new(recorder)}
	s.SetKeepAlivesEnabled(false) // a handshake for each request
	done := make(chan error, 1)
	go func() { done <- s.Serve(tls.NewListener(l, cfg)) }()
	t.Cleanup(func() { s.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	a, b := "a.test:"+port, "b.test:"+port
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + a + "/", "https://" + b + "/"}})
	for _, authority := range []string{a, b, a} {
		if r := rawHTTP1(t, w.tlsTo(authority), "GET", get1("/", authority)); r.status != 200 {
			t.Fatalf("%s: %+v", authority, r)
		}
	}
	close(offered)
	var names []string
	for name := range offered {
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"a.test"}) {
		t.Errorf("tickets were offered by %q, want one, in the second handshake of a.test", names)
	}
}

func eachTLSVersion(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}
