package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// logLines returns the lines of the log from info upwards, once every
// connection that is on its way has been dealt with. The first has all words.
func (w *world) logLines(t *testing.T, words ...string) []string {
	t.Helper()
	<-w.proxy.hijacks.whenIdle()
	var lines []string
	for l := range strings.Lines(w.log.String()) {
		if !strings.Contains(l, "level=DEBUG") {
			lines = append(lines, l)
		}
	}
	for _, word := range words {
		if len(lines) == 0 || !strings.Contains(lines[0], word) {
			t.Errorf("the log lacks %q: %q", word, lines)
		}
	}
	return lines
}

// A client may leave the name out, and clients drop a trailing dot; any other
// name is not the host that the CONNECT was granted for.
func TestServerNameOfTheHandshake(t *testing.T) {
	w := newWatched(t, "h2")
	for name, good := range map[string]bool{
		"api.test": true, "API.Test": true, "api.test.": true, "Api.TEST.": true, "": true,
		"evil.test": false, "api.test.evil.test": false, "x.api.test": false, "test": false, "api.test\x00": false, "api.test:443": false, "api.test:" + w.port(): false, "*.test": false,
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: version, MaxVersion: version}
			err := tls.Client(w.connect(w.authority, ""), cfg).Handshake()
			if good && err != nil {
				t.Errorf("server name %q: %v", name, err)
			}
			if !good && err == nil {
				t.Errorf("server name %q was accepted", name)
			}
		}
	}
	w.wantNothingSent(t)
	for _, l := range w.logLines(t) {
		if !strings.Contains(l, "server name differs") || !strings.Contains(l, "authority="+w.authority) {
			t.Errorf("log: %s", l)
		}
	}
}

func TestHandshakeBelowTLS12IsRefused(t *testing.T) {
	w := newWatched(t, "h1")
	cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if err := tls.Client(w.connect(w.authority, ""), cfg).Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// farListener says of its connections that they come from another machine.
type farListener struct{ net.Listener }

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
}

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return farConn{c}, err
}

// Keys that withstand quantum computers are for what crosses a network; a
// client that knows no others has them everywhere.
func TestKeyExchangeWithAClient(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	quantum := []tls.CurveID{tls.X25519MLKEM768}
	for from, l := range map[string]net.Listener{"here": listenLoopback(t), "elsewhere": farListener{listenLoopback(t)}} {
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://api.test/"}, listener: l})
		for _, c := range []struct {
			knows []tls.CurveID // nil: all
			want  map[string]tls.CurveID
		}{
			{nil, map[string]tls.CurveID{"here": tls.X25519, "elsewhere": tls.X25519MLKEM768}},
			{quantum, map[string]tls.CurveID{"here": tls.X25519MLKEM768, "elsewhere": tls.X25519MLKEM768}},
			{[]tls.CurveID{tls.CurveP521}, map[string]tls.CurveID{"here": tls.CurveP521, "elsewhere": tls.CurveP521}},
		} {
			conn := tls.Client(w.connect("api.test:443", ""), &tls.Config{RootCAs: w.roots, ServerName: "api.test", CurvePreferences: c.knows})
			fatal(t, conn.Handshake())
			if got := conn.ConnectionState().CurveID; got != c.want[from] {
				t.Errorf("a client from %s that knows %v: %v, want %v", from, c.knows, got, c.want[from])
			}
		}
	}
}

// What limits the handshake must not limit what comes behind it.
func TestHandshakeLimitEndsWithTheHandshake(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	api := origins.startUpstream(t, "api.test", "h1", new(recorder))
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/"}, limits: limits{handshake: 2 * time.Second}})
	c := w.tlsTo(api)
	io.Copy(io.Discard, w.connect(api, "")) // ends when the limit of a later one has passed
	if r := rawHTTP1(t, c, "GET", get1("/", api)); r.status != 200 {
		t.Errorf("a request behind the handshake: %+v", r)
	}
}

// One line says what to do; the errors of TLS are no help to anybody.
func TestClientThatDoesNotTrustTheCAIsOneLogLine(t *testing.T) {
	for name, refuse := range map[string]func(t *testing.T, w *watched){
		"Go, TLS 1.3": func(t *testing.T, w *watched) { refuseCertificate(t, w, tls.VersionTLS13) },
		"Go, TLS 1.2": func(t *testing.T, w *watched) { refuseCertificate(t, w, tls.VersionTLS12) },
		"curl": func(t *testing.T, w *watched) {
			curl, err := exec.LookPath("curl")
			if err != nil {
				unavailable(t, err.Error())
			}
			out, err := exec.Command(curl, "-sS", "--noproxy", "", "-x", "http://"+w.addr, "https://"+w.authority+"/v1/x").CombinedOutput()
			if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 60 {
				t.Errorf("curl: %v, %s, want exit status 60", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t, "h1")
			refuse(t, w)
			lines := w.logLines(t, "does not trust", "authority="+w.authority, "trust /path/to/ca.pem")
			if len(lines) != 1 {
				t.Errorf("%d lines, want one: %q", len(lines), lines)
			}
			if strings.Contains(w.log.String(), "remote error") {
				t.Errorf("the log has TLS errors: %s", w.log)
			}
			w.wantNothingSent(t)
		})
	}
}

func refuseCertificate(t *testing.T, w *watched, version uint16) {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "api.test", MinVersion: version, MaxVersion: version}
	err := tls.Client(w.connect(w.authority, ""), cfg).Handshake()
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("%v, want an unknown authority", err)
	}
}

// Some clients hang up without a word: the line says what it may mean.
func TestClientThatLeavesInTheHandshakeIsOneLogLine(t *testing.T) {
	w := newWatched(t, "h1")
	c := w.connect(w.authority, "")
	fatal(t, c.Close())
	lines := w.logLines(t, "left during the TLS handshake", "authority="+w.authority, "trust /path/to/ca.pem")
	if len(lines) != 1 {
		t.Errorf("%d lines, want one: %q", len(lines), lines)
	}
}

// What speaks HTTP where TLS belongs is told so in HTTP.
func TestPlainHTTPInsideAnInterceptedConnect(t *testing.T) {
	w := newWatched(t, "h1")
	wantAnswer(t, rawHTTP1(t, w.connect(w.authority, ""), "GET", get1("/v1/x", w.authority)), 400, "tls-expected")
	w.wantNothingSent(t)
	c := w.connect(w.authority, "")
	io.WriteString(c, "\x00\x01\x02\x03\x04\x05\x06\x07")
	if b, _ := io.ReadAll(c); strings.Contains(string(b), "HTTP/") {
		t.Errorf("an unknown protocol was answered with %q", b)
	}
}
