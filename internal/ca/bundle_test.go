package ca

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func noEnv(string) string { return "" }

func bundled(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBundleHoldsSystemExtraEnvironmentAndOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, extra, node, curl := ephemeral(t, "corp.example"), ephemeral(t, "a.example"), ephemeral(t, "b.example"), ephemeral(t, "c.example")
	put(t, dir, "extra.pem", extra.RootPEM())
	put(t, dir, "node.pem", append([]byte("# with a comment\n"), node.RootPEM()...))
	put(t, dir, "curl.pem", append(curl.RootPEM(), extra.RootPEM()...))
	env := map[string]string{
		"NODE_EXTRA_CA_CERTS": filepath.Join(dir, "node.pem"),
		"CURL_CA_BUNDLE":      filepath.Join(dir, "curl.pem"),
		"REQUESTS_CA_BUNDLE":  filepath.Join(dir, "absent.pem"),
		"SSL_CERT_FILE":       dir,
	}
	file := filepath.Join(dir, "bundle.pem")
	err := WriteBundle(file, ours.RootPEM(), []string{filepath.Join(dir, "extra.pem")}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	text := bundled(t, file)
	for name, a := range map[string]*Authority{"ours": ours, "extra": extra, "node": node, "curl": curl} {
		if strings.Count(text, string(a.RootPEM())) != 1 {
			t.Errorf("the root %s is not there once", name)
		}
	}
	system, err := systemRoots()
	if err != nil {
		t.Fatal(err)
	}
	var b bundle
	b.add(system)
	if got := strings.Count(text, "BEGIN CERTIFICATE"); got != len(b.seen)+4 {
		t.Errorf("%d certificates, want %d of the system and 4", got, len(b.seen))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(text))
	intermediates := x509.NewCertPool()
	intermediates.AddCert(ours.intermediate)
	if _, err := leaf(t, ours, "corp.example").Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: intermediates}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(file); err != nil || hasModes && info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestBundleForgetsARootThatIsGone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	before, after := ephemeral(t, "corp.example"), ephemeral(t, "corp.example")
	itself := func(string) string { return file }
	for _, a := range []*Authority{before, after} {
		if err := WriteBundle(file, a.RootPEM(), nil, itself); err != nil {
			t.Fatal(err)
		}
	}
	if text := bundled(t, file); strings.Contains(text, string(before.RootPEM())) || !strings.Contains(text, string(after.RootPEM())) {
		t.Error("the bundle has the old root, or not the new one")
	}
}

func TestBundleRefusesAnExtraFileWithoutRoots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.pem")
	put(t, dir, "empty.pem", nil)
	for _, name := range []string{"empty.pem", "absent.pem"} {
		err := WriteBundle(file, ephemeral(t, "corp.example").RootPEM(), []string{filepath.Join(dir, name)}, noEnv)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bundle was written: %v", err)
	}
}

func TestBundleIsNeverSeenHalf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.pem")
	root := ephemeral(t, "corp.example").RootPEM()
	if err := WriteBundle(file, root, nil, noEnv); err != nil {
		t.Fatal(err)
	}
	want := bundled(t, file)
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 5 {
				if err := WriteBundle(file, root, nil, noEnv); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		if bundled(t, file) != want {
			t.Fatal("a reader saw another bundle")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
