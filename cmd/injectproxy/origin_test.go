package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// sighting is a request as an origin saw it.
type sighting struct {
	method, host, target string
	header               http.Header
	size                 int64
	sum                  string // SHA-256 of the body
	proto                int
}

// bearer returns the token of a request, "" if it carries none.
func (s sighting) bearer() string {
	return strings.TrimPrefix(s.header.Get("Authorization"), "Bearer ")
}

// origin is a server behind the proxy that remembers what it saw.
type origin struct {
	authority string // host:port, under the first of its names

	mu   sync.Mutex
	seen []sighting
}

// newOrigin starts a TLS server of the given kind ("h1", or "h2", which speaks
// both) for hosts. It reads each request to its end, notes it, and has answer
// answer it; nil answers 200.
func newOrigin(t testing.TB, kind string, answer func(http.ResponseWriter, sighting), hosts ...string) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	o := &origin{authority: net.JoinHostPort(hosts[0], port(l.Addr()))}
	s := &http.Server{
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 2000},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{origins().issue(t, hosts...)}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen := o.note(r)
			if answer != nil {
				answer(w, seen)
			}
		}),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(kind == "h2")
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	return o
}

func (o *origin) note(r *http.Request) sighting {
	sum := sha256.New()
	n, _ := io.Copy(sum, r.Body) // a client that leaves has sent less, and the sum shows it
	s := sighting{
		method: r.Method, host: r.Host, target: r.RequestURI, header: r.Header.Clone(),
		size: n, sum: hex.EncodeToString(sum.Sum(nil)), proto: r.ProtoMajor,
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, s)
	return s
}

// taken returns what o saw since the last call.
func (o *origin) taken() []sighting {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen
	o.seen = nil
	return s
}

// one returns the only request that o saw since the last call.
func (o *origin) one(t testing.TB) sighting {
	t.Helper()
	seen := o.taken()
	if len(seen) != 1 {
		t.Fatalf("%s saw %d requests, want 1", o.authority, len(seen))
	}
	return seen[0]
}

// nothing fails the test if o saw a request since the last call.
func (o *origin) nothing(t testing.TB) {
	t.Helper()
	if seen := o.taken(); len(seen) > 0 {
		t.Errorf("%s saw %d requests, want none: %s %s", o.authority, len(seen), seen[0].method, seen[0].target)
	}
}

// url returns the URL of a path at o.
func (o *origin) url(path string) string { return "https://" + o.authority + path }

// port returns the port that o, or any other address, has.
func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// challenge answers 401 as protected APIs do.
func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, "the upstream's own refusal")
}

// origins returns the authority that signs the origins' certificates.
var origins = sync.OnceValue(func() *originCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "origins"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &originCA{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
})

type originCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func (a *originCA) issue(t testing.TB, hosts ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: hosts,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certificates returns those of PEM data.
func certificates(t testing.TB, data []byte) (list []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		list = append(list, c)
	}
	if len(list) == 0 {
		t.Fatal("no certificate")
	}
	return list
}
