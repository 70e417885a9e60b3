package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// broken is an upstream that no request can be sent to.
type broken struct {
	typ, reason string
	status      int
	host        string // "" means api.test
	start       func(t *testing.T, origins *authorityForTests) net.Listener
}

// serve runs f for each connection of l until the test ends.
func serve(t *testing.T, l net.Listener, f func(net.Conn)) net.Listener {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l
}

// serveTLS fails the test if a byte of a request gets through.
func serveTLS(t *testing.T, cfg *tls.Config) net.Listener {
	return serve(t, listenLoopback(t), func(c net.Conn) {
		defer c.Close()
		c.SetDeadline(time.Now().Add(guard))
		if n, _ := tls.Server(c, cfg).Read(make([]byte, 1)); n > 0 {
			t.Error("a request was sent over the bad connection")
		}
	})
}

func spoilt(change func(*x509.Certificate)) func(*testing.T, *authorityForTests) net.Listener {
	return func(t *testing.T, origins *authorityForTests) net.Listener {
		return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", change)}, NextProtos: []string{"h2", "http/1.1"}})
	}
}

var brokenUpstreams = map[string]broken{
	"refused": {"upstream-refused", "connection_refused", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		l := listenLoopback(t)
		l.Close()
		return l
	}},
	"unknown name": {"upstream-unknown", "dns_error", 502, "unknown.test", func(t *testing.T, _ *authorityForTests) net.Listener { return listenLoopback(t) }},
	"expired": {"upstream-certificate", "tls_certificate_error", 502, "", spoilt(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})},
	"not valid yet": {"upstream-certificate", "tls_certificate_error", 502, "", spoilt(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) })},
	"wrong host":    {"upstream-certificate", "tls_certificate_error", 502, "", spoilt(func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })},
	"no host":       {"upstream-certificate", "tls_certificate_error", 502, "", spoilt(func(c *x509.Certificate) { c.DNSNames = nil; c.Subject.CommonName = "api.test" })},
	"for clients only": {"upstream-certificate", "tls_certificate_error", 502, "", spoilt(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})},
	"self-signed": {"upstream-certificate", "tls_certificate_error", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "api.test")}})
	}},
	"another authority": {"upstream-certificate", "tls_certificate_error", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{newOrigins(t).issue(t, "api.test", nil)}})
	}},
	"TLS 1.1": {"upstream-tls", "tls_protocol_error", 502, "", func(t *testing.T, origins *authorityForTests) net.Listener {
		return serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}})
	}},
	"another protocol only": {"upstream-tls", "tls_protocol_error", 502, "", func(t *testing.T, origins *authorityForTests) net.Listener {
		return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}, NextProtos: []string{"imap"}})
	}},
	"plain HTTP": {"upstream-tls", "tls_protocol_error", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serve(t, listenLoopback(t), func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		})
	}},
	"another service": {"upstream-tls", "tls_protocol_error", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serve(t, listenLoopback(t), func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		})
	}},
	"closed during the handshake": {"upstream-aborted", "connection_terminated", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serve(t, listenLoopback(t), func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		})
	}},
	"reset during the handshake": {"upstream-aborted", "connection_terminated", 502, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serve(t, listenLoopback(t), func(c net.Conn) { io.ReadFull(c, make([]byte, 5)); c.(*net.TCPConn).SetLinger(0); c.Close() })
	}},
	"silent in the handshake": {"upstream-timeout", "connection_timeout", 504, "", func(t *testing.T, _ *authorityForTests) net.Listener {
		return serve(t, listenLoopback(t), func(c net.Conn) { io.Copy(io.Discard, c); c.Close() })
	}},
}

func selfSigned(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	fatal(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestBrokenUpstreamIsAnsweredWithItsReason(t *testing.T) {
	for name, b := range brokenUpstreams {
		t.Run(name, func(t *testing.T) {
			origins := newOrigins(t)
			_, port, _ := net.SplitHostPort(b.start(t, origins).Addr().String())
			authority := firstOf(b.host, "api.test") + ":" + port
			d := NewDialer(DialOptions{Resolve: resolveTest})
			u := NewUpstream(d, &tls.Config{RootCAs: origins.pool})
			if b.status == 504 {
				u.h1.TLSHandshakeTimeout, u.h2.TLSHandshakeTimeout = 50*time.Millisecond, 50*time.Millisecond
			}
			w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}, upstream: u})
			for _, path := range []string{"/v1/x", "/v2/x"} {
				for _, r := range []reply{
					rawHTTP1(t, w.tlsTo(authority, "http/1.1"), "GET", get1(path, authority)),
					rawHTTP1(t, w.tlsTo(authority, "http/1.1"), "POST", request1("POST", path, []string{"Host: " + authority, "Content-Length: 5"}, "hello")),
					newHTTP2Raw(t, w.tlsTo(authority, "h2")).request(get2(path, authority), "", nil),
				} {
					wantAnswer(t, r, b.status, b.typ)
					if got := r.header.Get("Proxy-Status"); !strings.Contains(got, "error="+b.reason+";") {
						t.Errorf("Proxy-Status %q, want %s", got, b.reason)
					}
				}
			}
		})
	}
}

// A tunnel and a plain request say the same of an upstream that is not there.
func TestBrokenUpstreamOutsideOfInterception(t *testing.T) {
	closed := listenLoopback(t)
	closed.Close()
	_, port, _ := net.SplitHostPort(closed.Addr().String())
	w := newWorld(t, newOrigins(t), worldOptions{})
	for authority, typ := range map[string]string{"api.test:" + port: "upstream-refused", "unknown.test:443": "upstream-unknown"} {
		connect := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
		wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", connect), 502, typ)
		wantAnswer(t, rawHTTP1(t, w.door(), "GET", get1("http://"+authority+"/", authority)), 502, typ)
	}
}

// Resolving and connecting share one limit, which the dialler sets.
func TestDialThatHangsIsATimeout(t *testing.T) {
	hangs := func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	d := NewDialer(DialOptions{Resolve: hangs})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := d.Dial(ctx, "api.test:443")
	if err == nil {
		t.Fatal("connected")
	}
	if a := answerFor(err, "api.test:443"); a.Status != 504 || a.Type != "upstream-timeout" {
		t.Errorf("%+v", a)
	}
}
