package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// impatient is a connection to the proxy whose first write goes out in one
// segment with the CONNECT, and which reads what follows the 200.
type impatient struct {
	net.Conn
	t       testing.TB
	request string
	head    sync.Once
}

func (w *world) impatient(authority string) *impatient {
	return &impatient{Conn: w.door(), t: w.t, request: "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"}
}

func (c *impatient) Write(p []byte) (int, error) {
	if c.request == "" {
		return c.Conn.Write(p)
	}
	b := append([]byte(c.request), p...)
	c.request = ""
	n, err := c.Conn.Write(b)
	return n - (len(b) - len(p)), err
}

func (c *impatient) Read(p []byte) (int, error) {
	c.head.Do(func() {
		if head := readHead(c.t, c.Conn); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			c.t.Errorf("CONNECT was answered %q", head)
		}
	})
	return c.Conn.Read(p)
}

func TestClientHelloInTheSegmentOfAnInterceptedConnect(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, proxied := range []bool{false, true} {
			t.Run(map[bool]string{false: "directly, ", true: "through an upstream proxy, "}[proxied]+proto, func(t *testing.T) {
				origins := newOrigins(t)
				var proxy *url.URL
				if proxied {
					proxy = startCorporate(t, origins, "http").url
				}
				b := newBehind(t, origins, always(proxy))
				c := tls.Client(b.impatient(b.api), &tls.Config{RootCAs: b.roots, ServerName: "api.test", NextProtos: []string{proto}})
				fatal(t, c.Handshake())
				var r reply
				if proto == "h2" {
					r = newHTTP2Raw(t, c).request(get2("/", b.api), "", nil)
				} else {
					r = rawHTTP1(t, c, "GET", get1("/", b.api))
				}
				if r.status != 200 || r.body != "hello" {
					t.Errorf("got %+v", r)
				}
			})
		}
	}
}

func TestBytesInTheSegmentOfATunnelledConnect(t *testing.T) {
	t.Parallel()
	t.Run("ClientHello", func(t *testing.T) {
		eachTunnelWay(t, func(t *testing.T, w *world) {
			authority := w.origins.startUpstream(t, "other.test", "h1", &recorder{answer: greet})
			c := tls.Client(w.impatient(authority), &tls.Config{RootCAs: w.origins.pool, ServerName: "other.test"})
			fatal(t, c.Handshake())
			if r := rawHTTP1(t, c, "GET", get1("/", authority)); r.body != "hello" {
				t.Errorf("got %+v", r)
			}
		})
	})
	for name, sent := range map[string][]byte{
		"one byte": {0}, "anything": []byte("\x00\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "much": bytes.Repeat([]byte("0123456789abcde\n"), 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			eachTunnelWay(t, func(t *testing.T, w *world) {
				authority := startRaw(t, "other.test", func(c *net.TCPConn) { io.Copy(c, c) })
				c := w.impatient(authority)
				var both sync.WaitGroup
				both.Go(func() {
					c.Write(sent)
					closeWrite(c.Conn)
				})
				got, err := io.ReadAll(c)
				both.Wait()
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("echo of %d bytes has %d, equal %t, %v", len(sent), len(got), bytes.Equal(got, sent), err)
				}
			})
		})
	}
}

// endWatch tells when its clients have ended their half of a connection.
type endWatch struct {
	net.Listener
	ended chan struct{}
}

type endWatched struct {
	net.Conn
	l *endWatch
}

func (l *endWatch) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &endWatched{c, l}, nil
}

func (c *endWatched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		select {
		case c.l.ended <- struct{}{}:
		default:
		}
	}
	return n, err
}

// CloseWrite lets a tunnel end one half.
func (c *endWatched) CloseWrite() error { return closeWrite(c.Conn) }

// TestClientThatHasSentAllAtOnce ends its half before its CONNECT is judged:
// it still wants to receive.
func TestClientThatHasSentAllAtOnce(t *testing.T) {
	t.Parallel()
	l := &endWatch{listenLoopback(t), make(chan struct{}, 1)}
	w := newWorld(t, newOrigins(t), worldOptions{listener: l, admit: func(net.Conn) func([]string) (string, error) {
		return func([]string) (string, error) { <-l.ended; return "", nil }
	}})
	authority := startRaw(t, "other.test", func(c *net.TCPConn) { io.Copy(c, c) })
	c := w.impatient(authority)
	io.WriteString(c, "all")
	closeWrite(c.Conn)
	if got, err := io.ReadAll(c); err != nil || string(got) != "all" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestServerThatSpeaksFirst(t *testing.T) {
	t.Parallel()
	eachTunnelWay(t, func(t *testing.T, w *world) {
		authority := startRaw(t, "other.test", func(c *net.TCPConn) {
			io.WriteString(c, "SSH-2.0-server\r\n")
			io.Copy(c, c)
		})
		c := w.connect(authority, "")
		buf := make([]byte, len("SSH-2.0-server\r\n"))
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "SSH-2.0-server\r\n" {
			t.Fatalf("got %q, %v", buf, err)
		}
		io.WriteString(c, "SSH-2.0-client\r\n")
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "SSH-2.0-client\r\n" {
			t.Errorf("got %q, %v", buf, err)
		}
	})
}

// TestBytesInTheSegmentOfAnUpstreamProxysAnswer holds that what an upstream
// says behind the header of the proxy before it is not taken for part of it.
func TestBytesInTheSegmentOfAnUpstreamProxysAnswer(t *testing.T) {
	t.Parallel()
	for _, lines := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 204 No\r\n\r\n"} {
		w := newWorld(t, newOrigins(t), worldOptions{dial: DialOptions{Proxy: always(mumbler(t, lines+"\r\n\r\nSSH-2.0-server\r\n"))}})
		if got, err := io.ReadAll(w.connect("other.test:22", "")); err != nil || string(got) != "\r\n\r\nSSH-2.0-server\r\n" {
			t.Errorf("behind %q: got %q, %v", lines, got, err)
		}
	}
}
