package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startRaw starts a TCP server for host that has serve look after each
// connection, and returns its authority.
func startRaw(t testing.TB, host string, serve func(*net.TCPConn)) string {
	t.Helper()
	l := listenLoopback(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(guard))
			running.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

// eachTunnelWay runs f for each way that a tunnel can take to its upstream.
func eachTunnelWay(t *testing.T, f func(t *testing.T, w *world)) {
	origins := newOrigins(t)
	trust := &tls.Config{RootCAs: origins.pool}
	for name, proxy := range map[string]func(t *testing.T) *url.URL{
		"directly":                         func(*testing.T) *url.URL { return nil },
		"through an upstream proxy":        func(t *testing.T) *url.URL { return startCorporate(t, origins, "http").url },
		"through an upstream proxy by TLS": func(t *testing.T) *url.URL { return startCorporate(t, origins, "https").url },
		"through a second of our own": func(t *testing.T) *url.URL {
			return &url.URL{Scheme: "http", Host: newWorld(t, origins, worldOptions{}).addr}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f(t, newWorld(t, origins, worldOptions{dial: DialOptions{Proxy: always(proxy(t)), TLS: trust}}))
		})
	}
}

func TestTunnelShowsTheOriginsCertificate(t *testing.T) {
	t.Parallel()
	eachTunnelWay(t, func(t *testing.T, w *world) {
		want := w.origins.issue(t, "other.test", nil)
		authority := startRaw(t, "other.test", func(c *net.TCPConn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{want}}).Handshake()
		})
		c := tls.Client(w.connect(authority, ""), &tls.Config{RootCAs: w.origins.pool, ServerName: "other.test"})
		fatal(t, c.Handshake())
		if got := c.ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(got, want.Certificate[0]) {
			t.Error("the certificate is not the origin's own")
		}
	})
}

func TestTunnelPassesEachHalfsEndOn(t *testing.T) {
	t.Parallel()
	t.Run("client first", func(t *testing.T) {
		eachTunnelWay(t, func(t *testing.T, w *world) {
			authority := startRaw(t, "other.test", func(c *net.TCPConn) {
				b, err := io.ReadAll(c) // until the client has ended its half
				if err == nil {
					c.Write(append([]byte("got "), b...))
				}
			})
			c := w.connect(authority, "")
			io.WriteString(c, "all of it")
			fatal(t, closeWrite(c))
			if got, err := io.ReadAll(c); err != nil || string(got) != "got all of it" {
				t.Errorf("reply %q, %v", got, err)
			}
		})
	})
	t.Run("server first", func(t *testing.T) {
		eachTunnelWay(t, func(t *testing.T, w *world) {
			got := make(chan string, 1)
			authority := startRaw(t, "other.test", func(c *net.TCPConn) {
				io.WriteString(c, "all I have")
				c.CloseWrite()
				b, err := io.ReadAll(c)
				if err != nil {
					b = []byte(err.Error())
				}
				got <- string(b)
			})
			c := w.connect(authority, "")
			if b, err := io.ReadAll(c); err != nil || string(b) != "all I have" {
				t.Errorf("from the server: %q, %v", b, err)
			}
			io.WriteString(c, "a late word")
			c.Close()
			if s := <-got; s != "a late word" {
				t.Errorf("to the server: %q", s)
			}
		})
	})
}

// TestTunnelPassesABreakOn holds that a connection which was reset is not
// taken for one that has ended.
func TestTunnelPassesABreakOn(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	second := newWorld(t, origins, worldOptions{})
	for name, proxy := range map[string]*url.URL{"directly": nil, "through a second of our own": {Scheme: "http", Host: second.addr}} {
		w := newWorld(t, origins, worldOptions{dial: DialOptions{Proxy: always(proxy)}})
		t.Run("server, "+name, func(t *testing.T) {
			authority := startRaw(t, "other.test", func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, 1))
				c.SetLinger(0)
			})
			c := w.connect(authority, "x")
			if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %q, %v, want a reset", b, err)
			}
		})
		t.Run("client, "+name, func(t *testing.T) {
			broken := make(chan error, 1)
			authority := startRaw(t, "other.test", func(c *net.TCPConn) {
				io.WriteString(c, "x")
				_, err := io.ReadAll(c)
				broken <- err
			})
			c := w.connect(authority, "")
			_, err := io.ReadFull(c, make([]byte, 1))
			fatal(t, err)
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
			if err := <-broken; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("server read %v, want a reset", err)
			}
		})
	}
}

// TestBreakTowardsAnUpstreamProxyIsPassedOn is the same where the connection
// inside is TLS; and where it breaks before the client's early bytes are
// through.
func TestBreakTowardsAnUpstreamProxyIsPassedOn(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]byte{"behind the early bytes": '!', "before them": 'C'} {
		t.Run(name, func(t *testing.T) {
			origins := newOrigins(t)
			cert := origins.issue(t, "proxy.test", nil)
			proxy := startRaw(t, "proxy.test", func(c *net.TCPConn) {
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
				b := make([]byte, 1)
				io.ReadFull(s, b)
				io.WriteString(s, "HTTP/1.1 200 OK\r\n\r\n")
				for b[0] != last {
					io.ReadFull(s, b)
				}
				c.SetLinger(0)
			})
			w := newWorld(t, origins, worldOptions{dial: DialOptions{
				Proxy: always(&url.URL{Scheme: "https", Host: proxy}), TLS: &tls.Config{RootCAs: origins.pool},
			}})
			if b, err := io.ReadAll(w.connect("other.test:443", "!")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %q, %v, want a reset", b, err)
			}
		})
	}
}

// TestTunnelRefusedIsAnswered holds that a tunnel which
// cannot be made says why.
func TestTunnelRefusedIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newOrigins(t), worldOptions{})
	l := listenLoopback(t)
	l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for target, typ := range map[string]string{"other.test:" + port: "upstream-refused", "unknown.test:443": "upstream-unknown"} {
		c := w.door()
		r := rawHTTP1(t, c, http.MethodConnect, request1(http.MethodConnect, target, []string{"Host: " + target}, ""))
		wantAnswer(t, r, 502, typ)
		if n, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("behind the answer: %d bytes, %v", n, err)
		}
	}
}
