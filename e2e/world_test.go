package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// world is what lies beyond the proxy: servers under names of corp.test, and
// the upstream proxy that alone knows where those names are. It ends with the
// test.
type world struct {
	t      *testing.T
	caFile string // the root of the servers' certificates
	cert   tls.Certificate
	via    *httptest.Server // the upstream proxy

	mu        sync.Mutex
	addresses map[string]string // by authority
	asked     []string          // authorities, as they came to the upstream proxy
	tunnels   sync.WaitGroup
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, addresses: map[string]string{}}
	w.cert, w.caFile = newCertificate(t, "*.corp.test")
	w.via = httptest.NewServer(http.HandlerFunc(w.connect))
	t.Cleanup(func() {
		w.via.Close()
		w.tunnels.Wait()
	})
	return w
}

// place makes authority lead to address.
func (w *world) place(authority, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses[authority] = address
}

// passed reports whether authority was reached by the upstream proxy.
func (w *world) passed(authority string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.asked, authority)
}

func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	address := w.addresses[r.Host]
	w.asked = append(w.asked, r.Host)
	w.mu.Unlock()
	if r.Method != http.MethodConnect || address == "" {
		http.Error(rw, "not in this world", http.StatusBadGateway)
		return
	}
	up, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(rw, "unreachable", http.StatusBadGateway)
		return
	}
	down, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		up.Close()
		return
	}
	io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
	w.tunnels.Go(func() { pump(up, buffered) })
	w.tunnels.Go(func() {
		pump(down, up)
		down.Close()
		up.Close()
	})
}

// pump copies until from ends, and passes the end on.
func pump(to net.Conn, from io.Reader) {
	io.Copy(to, from)
	if c, ok := to.(*net.TCPConn); ok {
		c.CloseWrite()
	}
}

// newCertificate returns a certificate for name, which may be an address, and
// the file with the root that signed it.
func newCertificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "upstream root"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, rootDER := sign(t, root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	leafKey, leafDER := sign(t, leaf, root, rootKey)
	file := filepath.Join(t.TempDir(), "upstream-ca.pem")
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})))
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}, file
}

// sign makes a key and its certificate, signed by signer or else by itself.
func sign(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// writeFile is replaceFile where there is no excuse.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := replaceFile(name, content); err != nil {
		t.Fatal(err)
	}
}

// replaceFile makes or replaces a file at once, as whatever rotates a token
// does.
func replaceFile(name, content string) error {
	if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// randomFile writes n random bytes into a file of the test's.
func randomFile(t *testing.T, n int) (name string, content []byte) {
	t.Helper()
	content = make([]byte, n)
	rand.Read(content)
	name = filepath.Join(t.TempDir(), "random")
	writeFile(t, name, string(content))
	return name, content
}
