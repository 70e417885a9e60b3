package trust

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/ca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// absent skips the test, or fails it where everything has to be present.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		absent(t, "%s is not installed", program)
	}
}

// newRoot returns the root of a new CA, and its PEM in a file.
func newRoot(t *testing.T) (*x509.Certificate, string) {
	t.Helper()
	permit, err := ca.ParsePermit([]string{"corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Ephemeral(permit, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "my ca.pem")
	write(t, file, authority.RootPEM())
	return authority.Root(), file
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// shell runs a program that a test prepares or looks with.
func shell(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// install and uninstall do it and verify it, twice: the second time there is
// nothing to do.
func install(t *testing.T, s *Store, root *x509.Certificate, file string) {
	t.Helper()
	carry(t, s.Name, func(ctx context.Context) (Plan, error) { return s.Install(ctx, root, file) })
}

func uninstall(t *testing.T, s *Store, root *x509.Certificate) {
	t.Helper()
	carry(t, s.Name, func(ctx context.Context) (Plan, error) { return s.Uninstall(ctx, root) })
}

func carry(t *testing.T, name string, plan func(context.Context) (Plan, error)) {
	t.Helper()
	p, err := plan(t.Context())
	if err != nil || p.Done() || p.Privileged || p.Follows {
		t.Fatalf("%s: %+v, %v", name, p, err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if p, err := plan(t.Context()); err != nil || !p.Done() {
		t.Fatalf("%s: after it was done: %+v, %v", name, p, err)
	}
}

// one returns the only store of a kind.
func one(t *testing.T, m *Machine, k Kind) *Store {
	t.Helper()
	stores := m.Stores([]Kind{k})
	if len(stores) != 1 {
		t.Fatalf("%d stores of kind %s", len(stores), k)
	}
	return stores[0]
}
