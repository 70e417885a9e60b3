package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// writePair writes a certificate for 127.0.0.1 of that name, and its key, to dir.
func writePair(t *testing.T, dir, name string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, pool
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheGateSpeaksHTTP1AndHTTP2OverTLS(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-Proto"))
	})
	o := Options{}
	var pool *x509.CertPool
	o.TLS.Cert, o.TLS.Key, pool = writePair(t, t.TempDir(), "one")
	f := stand(t, o, upstream.URL)
	if left := time.Until(f.CertificateExpiry()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the certificate ends in %s", left)
	}
	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!h2)
		transport.Protocols.SetHTTP2(h2)
		f.client.Transport = transport
		res, body := f.do(t, f.request(t, "GET", "/", ""))
		if res.StatusCode != 200 || body != "https" || (res.ProtoMajor == 2) != h2 || res.TLS.Version < tls.VersionTLS12 {
			t.Errorf("%s over %s, %q", res.Status, res.Proto, body)
		}
		transport.CloseIdleConnections()
	}
}

func TestACertificateIsReplacedWhenItsFilesAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := t.TempDir(), t.TempDir()
		writePair(t, first, "first")
		mounted := filepath.Join(t.TempDir(), "..data")
		turn := func(to string) { // as Kubernetes turns a mounted secret
			t.Helper()
			if err := os.Symlink(to, mounted+"_tmp"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(mounted+"_tmp", mounted); err != nil {
				t.Fatal(err)
			}
		}
		turn(first)
		var lines bytes.Buffer
		p, err := openPair(filepath.Join(mounted, "tls.crt"), filepath.Join(mounted, "tls.key"), slog.New(slog.NewTextHandler(&lines, nil)))
		if err != nil {
			t.Fatal(err)
		}
		is := func(want, said string) {
			t.Helper()
			lines.Reset()
			time.Sleep(lookEvery)
			c, err := p.certificate(nil)
			if err != nil || c.Leaf.Subject.CommonName != want || !strings.Contains(lines.String(), said) || said == "" && lines.Len() > 0 {
				t.Errorf("%v, %v is in use, and %q was said; want %s, %q", c.Leaf.Subject, err, lines.String(), want, said)
			}
		}
		is("first", "")
		cert, key, _ := writePair(t, second, "second")
		whole, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, key, whole[:20])
		turn(second)
		is("first", "cannot be used")
		is("first", "") // said once
		write(t, key, whole)
		is("second", "renewed")
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		is("second", "cannot be read")
		is("second", "")
		turn(first)
		is("first", "renewed")
		write(t, filepath.Join(first, "tls.crt"), whole)
		is("first", "cannot be used") // also where the key is as it was
		writePair(t, second, "third")
		turn(second)
		is("third", "renewed")
		writePair(t, second, "fourth")
		if c, err := p.certificate(nil); err != nil || c.Leaf.Subject.CommonName != "third" {
			t.Errorf("the files are looked at again at once: %v, %v", c.Leaf.Subject, err)
		}
	})
}

func TestAGateWithoutItsCertificateDoesNotBegin(t *testing.T) {
	t.Parallel()
	o := Options{PublicURL: urls(t, "https://mcp.example")[0], Routes: []Route{{Path: "/"}}, Log: slog.New(slog.DiscardHandler)}
	o.Verify = func(context.Context, string) (*verify.Caller, error) { return somebody(), nil }
	cert, key, _ := writePair(t, t.TempDir(), "one")
	_, other, _ := writePair(t, t.TempDir(), "two")
	for _, files := range [][2]string{{cert, other}, {cert, ""}, {"", key}, {cert + "x", key}, {key, cert}} {
		o.TLS.Cert, o.TLS.Key = files[0], files[1]
		if _, err := New(o); err == nil {
			t.Errorf("%v begins", files)
		}
	}
}

func TestAShutdownLetsACallInFlightEnd(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "done")
	})
	f := stand(t, Options{}, upstream.URL)
	got := make(chan string, 1)
	go func() {
		_, body := f.do(t, f.request(t, "GET", "/", ""))
		got <- body
	}()
	<-asked
	down := make(chan error, 1)
	go func() { down <- f.Shutdown(t.Context()) }()
	<-f.draining
	close(answer)
	if body := <-got; body != "done" {
		t.Errorf("the call ended with %q", body)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Errorf("the second Shutdown: %v", err)
	}
}

func TestAShutdownCutsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		asked, gone := make(chan struct{}), make(chan struct{})
		upstream := serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
			close(gone)
		})
		f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Protocol: wire.up}}}, upstream.URL).over(t, wire.down)
		cut := make(chan error, 1)
		go func() {
			res, err := f.client.Do(f.request(t, "GET", "/", ""))
			if err == nil {
				res.Body.Close()
			}
			cut <- err
		}()
		<-asked
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: Shutdown: %v", wire, err)
		}
		if err := <-cut; err == nil {
			t.Errorf("%v: the call was answered", wire)
		}
		<-gone
		if done := <-f.done; done.Duration <= 0 {
			t.Errorf("%v: told of %+v", wire, done)
		}
	}
}

func TestAClientThatSendsTooSlowlyIsLetGo(t *testing.T) {
	t.Parallel()
	head := "POST /judged HTTP/1.1\r\nHost: mcp.example\r\nAuthorization: Bearer " + canary + "\r\nContent-Type: application/json\r\nContent-Length: 71\r\n"
	for _, c := range []struct {
		sent  string
		drip  byte
		every time.Duration
		limit time.Duration
		want  string
	}{
		{"", 0, 0, readHeaderTimeout, ""},
		{head, 'x', time.Second, readHeaderTimeout, "HTTP/1.1 400 "},
		{head + "\r\n" + callEcho[:20], 0, 0, bodyPatience, "HTTP/1.1 408 "},
		{head + "\r\n" + callEcho[:20], ' ', bodyPatience - time.Second, bodyPatience, "HTTP/1.1 408 "}, // never silent for as long
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newPipes()
			f := open(t, Options{PublicURL: urls(t, "https://mcp.example")[0], Routes: routesOf("1.1")}, "mcp.example", nobody)
			for _, r := range f.routes {
				r.upstreams[0].transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, &errUnreached{io.EOF} }
			}
			served := make(chan error, 1)
			go func() { served <- f.Serve(l) }()
			ours, err := l.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			began, wrote := time.Now(), make(chan struct{})
			go func() {
				defer close(wrote)
				_, err := io.WriteString(ours, c.sent)
				rest := callEcho[min(20, len(callEcho)):]
				for i := 0; c.every > 0 && err == nil && i < len(rest); i++ {
					time.Sleep(c.every)
					b := c.drip
					if b == ' ' {
						b = rest[i]
					}
					_, err = ours.Write([]byte{b})
				}
			}()
			line, _ := bufio.NewReader(ours).ReadString('\n')
			if took := time.Since(began); took > c.limit || !strings.HasPrefix(line, c.want) || c.want == "" && line != "" {
				t.Errorf("%q and drops of it: %q after %s", c.sent, line, took)
			}
			ours.Close()
			<-wrote
			if err := f.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			<-served
		})
	}
}

// (A server that refuses what is still being sent closes its connection half a
// second later: in a bubble the client has read the answer by then.)
func TestAHeaderThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstream, heard := witnessing()
		f := inside(t, Options{}, upstream)
		req := f.request(t, "GET", "/", "")
		req.Header.Set("X-Large", strings.Repeat("x", 2*maxHeaderBytes))
		if res, _ := f.do(t, req); res.StatusCode != 431 || heard() != "" {
			t.Errorf("%s", res.Status)
		}
		req.Header.Set("X-Large", strings.Repeat("x", maxHeaderBytes/2))
		if res, _ := f.do(t, req); res.StatusCode != 200 {
			t.Errorf("a large one: %s", res.Status)
		}
	})
}

func TestABodyThatIsTooLargeIsRefusedWhereItIsNotRead(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{1000: 200, 1001: 413, 1 << 20: 413} {
		for _, declared := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				upstream, heard := witnessing()
				f := inside(t, Options{BodyLimit: 1000}, upstream)
				req := f.request(t, "PUT", "/", strings.Repeat("x", size))
				if !declared {
					req.ContentLength, req.GetBody = -1, nil
				}
				res, err := f.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if got := heard(); res.StatusCode != want || (strings.Count(got, "x") >= 1000) != (want == 200) {
					t.Errorf("%d bytes, declared %v: %s", size, declared, res.Status)
				}
			})
		}
	}
}

func TestAPanicIsAnAnswerAndALine(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	f := stand(t, Options{Log: slog.New(slog.NewTextHandler(&lines, nil)), Verify: func(_ context.Context, token string) (*verify.Caller, error) {
		panic(fmt.Sprintf("of %s", token))
	}}, nobody)
	for range 2 {
		res, body := f.do(t, f.request(t, "GET", "/", ""))
		if res.StatusCode != 500 || !strings.Contains(body, "The gate failed") || strings.Contains(body, canary) {
			t.Errorf("%s, %s", res.Status, body)
		}
		if done := <-f.done; done.Status != 500 {
			t.Errorf("told of %+v", done)
		}
	}
	_ = f.Shutdown(t.Context())
	if said := lines.String(); strings.Count(said, "mistake in the gate") != 2 || strings.Contains(said, canary) || !strings.Contains(said, "authenticate.go") {
		t.Errorf("said %s", said)
	}
}

func TestAFileIsAnotherOneByAnythingThatTells(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	of := func(name, text string, modified time.Time) state {
		t.Helper()
		file := filepath.Join(dir, name)
		write(t, file, []byte(text))
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return state{info, modified, info.Size()}
	}
	a := of("a", "one", now)
	for what, other := range map[string]state{"its size": of("a", "three", now), "its time": of("a", "one", now.Add(1)), "the file": of("b", "one", now)} {
		if a.same(other) {
			t.Errorf("%s does not tell it", what)
		}
	}
	if !a.same(of("a", "one", now)) {
		t.Error("it is another one than itself")
	}
}
