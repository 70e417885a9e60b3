package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// slowClients are ways to keep a proxy waiting: what is sent, and how. Those
// with a proto come out of an interception with that protocol.
var slowClients = []struct {
	name    string
	connect bool   // behind an answered CONNECT
	proto   string // behind a completed handshake, too
	sent    string
	drip    bool // the last byte of sent again each second
	closed  time.Duration
}{
	{name: "silent connection", closed: 10 * time.Second},
	{name: "partial request line", sent: "CONNECT api.te", closed: 10 * time.Second},
	{name: "partial header", sent: "CONNECT api.test:443 HTTP/1.1\r\nHost: api", closed: 10 * time.Second},
	{name: "dripping header", sent: "CONNECT api.test:443 HTTP/1.1\r\nHost: api", drip: true, closed: 10 * time.Second},
	{name: "no ClientHello", connect: true, closed: 10 * time.Second},
	{name: "partial ClientHello", connect: true, sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", closed: 10 * time.Second},
	{name: "dripping ClientHello", connect: true, sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", drip: true, closed: 10 * time.Second},
	{name: "silence behind the handshake", proto: "http/1.1", closed: 10 * time.Second},
	{name: "partial header inside", proto: "http/1.1", sent: "GET / HTTP/1.1\r\nHost: api", closed: 10 * time.Second},
	{name: "dripping header inside", proto: "http/1.1", sent: "GET / HTTP/1.1\r\nHost: api", drip: true, closed: 10 * time.Second},
	{name: "silence behind the HTTP/2 handshake", proto: "h2", closed: 10 * time.Second},
	{name: "partial HTTP/2 preface", proto: "h2", sent: http2.ClientPreface[:9], closed: 10 * time.Second},
	{name: "no HTTP/2 settings", proto: "h2", sent: http2.ClientPreface, closed: 2 * time.Second},
	{name: "dripping HTTP/2 header", proto: "h2", sent: http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\xff\x01\x00\x00\x00\x00\x01x", drip: true, closed: 45 * time.Second},
}

func TestSlowClientsAreDisconnected(t *testing.T) {
	t.Parallel()
	for _, c := range slowClients {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newConnListener(&net.TCPAddr{})
				w := newWorld(t, newOrigins(t), worldOptions{listener: l, prefixes: []string{"https://api.test/"}})
				var client, server net.Conn = net.Pipe()
				fatal(t, l.put(server))
				defer client.Close()
				if c.connect || c.proto != "" {
					io.WriteString(client, "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
					readHead(t, client)
				}
				if c.proto != "" {
					tc := tls.Client(client, &tls.Config{RootCAs: w.roots, ServerName: "api.test", NextProtos: []string{c.proto}})
					fatal(t, tc.Handshake())
					client = tc
				}
				start := time.Now()
				stop := make(chan struct{})
				var sending sync.WaitGroup
				sending.Go(func() { drip(client, c.sent, c.drip, stop) })
				io.Copy(io.Discard, client)
				if took := time.Since(start); took > c.closed || took < c.closed/2 {
					t.Errorf("closed after %v, want %v", took, c.closed)
				}
				close(stop)
				client.Close()
				sending.Wait()
			})
		})
	}
}

// drip sends s, and its last byte again each second if again is set.
func drip(c net.Conn, s string, again bool, stop <-chan struct{}) {
	if s == "" {
		return
	}
	io.WriteString(c, s)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for again {
		select {
		case <-tick.C:
			if _, err := c.Write([]byte(s[len(s)-1:])); err != nil {
				return
			}
		case <-stop:
			return
		}
	}
}

// TestSlowClientsHoldUpNobody holds that those whose time has not run out yet
// cost the others nothing.
func TestSlowClientsHoldUpNobody(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	b := newBehind(t, origins, always(nil))
	for range 40 {
		for _, c := range slowClients {
			if c.proto != "" {
				continue // their handshakes would be the cost
			}
			conn := b.door()
			if c.connect {
				io.WriteString(conn, "CONNECT "+b.api+" HTTP/1.1\r\nHost: "+b.api+"\r\n\r\n")
			}
			io.WriteString(conn, c.sent)
		}
	}
	for kind, f := range b.traffic(t) {
		if got := f(); got != "hello" {
			t.Errorf("%s: got %q", kind, got)
		}
	}
}

// TestIdleTunnelIsNeverClosed waits for other connections to run out of time,
// one behind the other, while a tunnel is silent.
func TestIdleTunnelIsNeverClosed(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	corp := startCorporate(t, origins, "https")
	for name, proxy := range map[string]*url.URL{"directly": nil, "through an upstream proxy": corp.url} {
		t.Run(name, func(t *testing.T) {
			const short = 400 * time.Millisecond // which a CONNECT has to make on a busy machine
			w := newWorld(t, origins, worldOptions{
				prefixes: []string{"https://api.test/"},
				dial:     DialOptions{Proxy: always(proxy), TLS: &tls.Config{RootCAs: origins.pool}},
				limits:   limits{header: short, handshake: short, idle: short},
			})
			authority := startRaw(t, "other.test", func(c *net.TCPConn) { io.Copy(c, c) })
			tunnel := w.connect(authority, "")
			for range 2 {
				for _, slow := range []net.Conn{w.door(), w.connect("api.test:443", "")} {
					if _, err := slow.Read(make([]byte, 1)); err == nil {
						t.Fatal("a silent connection was spoken to")
					}
				}
				io.WriteString(tunnel, "still here")
				buf := make([]byte, len("still here"))
				if _, err := io.ReadFull(tunnel, buf); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestOversizedHeaderIsRefused(t *testing.T) {
	t.Parallel()
	up := new(recorder)
	origins := newOrigins(t)
	api := origins.startUpstream(t, "api.test", "h2", up)
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/"}})
	kib := strings.Repeat("x", 1<<10)
	for name, big := range map[string][]string{
		"one field":   {"X-Big: " + strings.Repeat(kib, 300)},
		"many fields": slices.Repeat([]string{"X-Big: " + kib}, 300),
		"many names":  manyNames(20000),
		"8 MiB":       slices.Repeat([]string{"X-Big: " + strings.Repeat(kib, 64)}, 128),
	} {
		t.Run(name, func(t *testing.T) {
			wantAnswer(t, refusedEarly(t, w.door(), request1("GET", "http://"+api+"/", append(big, "Host: "+api), "")), 431, "header-too-large")
			wantAnswer(t, refusedEarly(t, w.door(), request1("CONNECT", api, append(big, "Host: "+api), "")), 431, "header-too-large")
			wantAnswer(t, refusedEarly(t, w.tlsTo(api), request1("GET", "/", append(big, "Host: "+api), "")), 431, "header-too-large")
		})
	}
	wide := strings.Repeat("y", 60<<10)
	wantAnswer(t, rawHTTP1(t, w.door(), "GET", request1("GET", "/", []string{"Host: " + api, "X: " + wide, "Y: " + wide, "Z: " + wide}, "")), 405, "not-a-proxy-request")
	if s := up.take(); len(s) > 0 {
		t.Errorf("the upstream was asked: %d times", len(s))
	}
}

// refusedEarly sends raw and reads the answer, which may come before all of
// raw is sent.
func refusedEarly(t *testing.T, c net.Conn, raw string) reply {
	t.Helper()
	var sending sync.WaitGroup
	sending.Go(func() { io.WriteString(c, raw) })
	defer sending.Wait()
	defer c.Close()
	c.SetDeadline(time.Now().Add(guard))
	return readReply(t, bufio.NewReader(c), "GET")
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("X-%d: some value", i)
	}
	return names
}

func TestOversizedHeaderInHTTP2IsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "h2", "h2", new(recorder).ServeHTTP)
	h := newHTTP2Raw(t, r.tlsTo(r.authority, "h2"))
	f := get2("/", r.authority)
	for range 300 {
		f = append(f, "x-big", strings.Repeat("x", 1<<10))
	}
	if got := h.split(t, f); got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %+v, want status 431", got)
	}
	if got := h.request(get2("/", r.authority), "", nil); got.status != 200 {
		t.Errorf("the next request of the connection: %+v", got)
	}
}

// split sends a header that is larger than a frame.
func (h *http2Raw) split(t *testing.T, f fields) reply {
	t.Helper()
	id := h.next
	h.next += 2
	block := bytes.Clone(h.encode(f))
	n := min(len(block), 16<<10)
	fatal(t, h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)}))
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), 16<<10)
		fatal(t, h.framer.WriteContinuation(id, n == len(block), block[:n]))
	}
	return h.response(id)
}
