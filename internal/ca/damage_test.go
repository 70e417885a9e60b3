package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// damage is one way in which the files of a CA can be wrong.
type damage struct {
	name string
	do   func(t *testing.T, dir string, a *Authority)
	hint string // "" for starting over
}

// rewrite replaces the CA in dir by other.
func rewrite(t *testing.T, dir string, other chain) {
	t.Helper()
	secret, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, secretFile, secret)
	put(t, dir, rootFile, certificatePEM(other.root))
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(mode os.FileMode, name string) func(*testing.T, string, *Authority) {
	return func(t *testing.T, dir string, _ *Authority) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// edit passes the file through change.
func edit(name string, change func([]byte) []byte) func(*testing.T, string, *Authority) {
	return func(t *testing.T, dir string, _ *Authority) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, name, change(data))
	}
}

// flip changes one bit of the n-th PEM block; of a key it is one of the secret
// number, as Go does not read the public half beside it.
func flip(n int) func([]byte) []byte {
	return func(data []byte) []byte {
		var out []byte
		for i := 0; ; i++ {
			block, rest := pem.Decode(data)
			if block == nil {
				return out
			}
			if i == n {
				block.Bytes[len(block.Bytes)/3] ^= 1
			}
			out = append(out, pem.EncodeToMemory(block)...)
			data = rest
		}
	}
}

func half(data []byte) []byte { return data[:len(data)/2] }
func none([]byte) []byte      { return nil }
func twice(b []byte) []byte   { return append(bytes.Clone(b), b...) }
func noise([]byte) []byte     { return bytes.Repeat([]byte{0, 0xff, '\n'}, 300) }

func withoutKey(data []byte) []byte {
	return data[:bytes.Index(data, []byte("-----BEGIN PRIVATE"))]
}

var damages = []damage{
	{name: "key file empty", do: edit(secretFile, none)},
	{name: "key file cut", do: edit(secretFile, half)},
	{name: "key file noise", do: edit(secretFile, noise)},
	{name: "key file twice", do: edit(secretFile, twice)},
	{name: "key file without its key", do: edit(secretFile, withoutKey)},
	{name: "bit of the intermediate", do: edit(secretFile, flip(0))},
	{name: "bit of the root", do: edit(secretFile, flip(1))},
	{name: "bit of the key", do: edit(secretFile, flip(2))},
	{name: "ca.pem empty", do: edit(rootFile, none)},
	{name: "ca.pem cut", do: edit(rootFile, half)},
	{name: "ca.pem noise", do: edit(rootFile, noise)},
	{name: "ca.pem twice", do: edit(rootFile, twice)},
	{name: "ca.pem bit", do: edit(rootFile, flip(0))},
	{name: "key file missing", do: func(t *testing.T, dir string, _ *Authority) {
		os.Remove(filepath.Join(dir, secretFile))
	}},
	{name: "key file is a directory", do: func(t *testing.T, dir string, _ *Authority) {
		os.Remove(filepath.Join(dir, secretFile))
		os.Mkdir(filepath.Join(dir, secretFile), 0o700)
	}},
	{name: "ca.pem of another CA", do: func(t *testing.T, dir string, _ *Authority) {
		put(t, dir, rootFile, ephemeral(t, "corp.example").RootPEM())
	}},
	{name: "root of another CA", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, chain{root: ephemeral(t, "corp.example").root, intermediate: a.intermediate, key: a.key})
	}},
	{name: "key of another CA", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, chain{root: a.root, intermediate: a.intermediate, key: ephemeral(t, "corp.example").key})
	}},
	{name: "key of another kind", do: func(t *testing.T, dir string, a *Authority) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		edit(secretFile, func(data []byte) []byte {
			return append(withoutKey(data), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
		})(t, dir, a)
	}},
	{name: "CA without constraints", do: func(t *testing.T, dir string, _ *Authority) {
		rewrite(t, dir, unconstrained(t).chain)
	}},
	{name: "CA with constraints on names alone", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, resigned(t, func(c *x509.Certificate) { c.ExcludedIPRanges = nil }))
	}},
	{name: "CA whose constraints may be ignored", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, resigned(t, func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false }))
	}},
	{name: "CA that may sign further ones", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, resigned(t, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }))
	}},
	{name: "CA that permits nothing", do: func(t *testing.T, dir string, a *Authority) {
		rewrite(t, dir, resigned(t, func(c *x509.Certificate) {
			c.PermittedDNSDomains = nil
			Permit{}.constrain(c)
		}))
	}},
	{name: "root that another has signed", do: func(t *testing.T, dir string, a *Authority) {
		above, key := ephemeral(t, "corp.example"), ephemeral(t, "corp.example").key
		root := plainAuthority("root", key)
		root.MaxPathLen, root.MaxPathLenZero = -1, false
		c := chain{root: mustSign(t, root, above.intermediate, key, above.key), key: a.key}
		template := authorityTemplate("intermediate", &a.key.PublicKey, a.permit, time.Now())
		template.MaxPathLenZero = true
		c.intermediate = mustSign(t, template, c.root, a.key, key)
		rewrite(t, dir, c)
	}},
	{name: "key file readable by all", do: chmod(0o644, secretFile), hint: "chmod 600 "},
	{name: "key file readable by the group", do: chmod(0o640, secretFile), hint: "chmod 600 "},
	{name: "directory writable by the group", do: chmod(0o770, "."), hint: "chmod 700 "},
}

// resigned returns a CA like those that are made, but for one change to its
// intermediate.
func resigned(t *testing.T, change func(*x509.Certificate)) chain {
	t.Helper()
	a := ephemeral(t, "corp.example")
	rootKey := ephemeral(t, "corp.example").key
	root := plainAuthority("root", rootKey)
	root.MaxPathLen = -1
	c := chain{root: mustSign(t, root, root, rootKey, rootKey), key: a.key}
	template := authorityTemplate("intermediate", &a.key.PublicKey, a.permit, time.Now())
	template.MaxPathLenZero = true
	change(template)
	c.intermediate = mustSign(t, template, c.root, a.key, rootKey)
	return c
}

func TestResignedCAIsSoundWithoutAChange(t *testing.T) {
	t.Parallel()
	dir, _ := made(t)
	rewrite(t, dir, resigned(t, func(*x509.Certificate) {}))
	if _, err := Open(dir, nil); err != nil {
		t.Errorf("the cases that build on it prove nothing: %v", err)
	}
}

func TestDamagedCAIsRefusedWithItsRemedyAndNeverReplaced(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if !hasModes && d.hint != "" {
				t.Skip("this system has no permission bits")
			}
			dir, a := made(t)
			d.do(t, dir, a)
			before := snapshot(t, dir)
			_, openErr := Open(dir, nil)
			_, ensureErr := Ensure(dir, permit(t, "corp.example"), nil)
			// As if the files were damaged while Ensure waited for the lock.
			_, lockedErr := ensureLocked(dir, permit(t, "corp.example"), time.Now)
			for _, err := range []error{openErr, ensureErr, lockedErr} {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%v, want an Error", err)
				}
				if !strings.HasPrefix(e.Path, dir) || e.Reason == "" || strings.Contains(e.Reason, "\n") {
					t.Errorf("unclear: %q: %q", e.Path, e.Reason)
				}
				if !strings.Contains(e.Hint, replaceHint) || !strings.HasPrefix(e.Hint, d.hint) {
					t.Errorf("the hint is %q", e.Hint)
				}
			}
			if !maps.Equal(before, snapshot(t, dir)) {
				t.Error("the files have changed")
			}
		})
	}
}

func TestRemedyWorks(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir, a := made(t)
			d.do(t, dir, a)
			if _, err := Ensure(dir, a.permit, nil); err == nil {
				t.Skip("this system has no permission bits")
			} else if e, ok := errors.AsType[*Error](err); ok && strings.HasPrefix(e.Hint, "remove it") {
				if err := os.Remove(e.Path); err != nil {
					t.Fatal(err)
				}
			} else if ok && strings.HasPrefix(e.Hint, "chmod 700") {
				chmod(0o700, ".")(t, dir, a)
			}
			if _, err := Rotate(dir, a.permit, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := Finish(dir, nil); err != nil {
				t.Fatal(err)
			}
			b, err := Ensure(dir, a.permit, nil)
			if err != nil || b.Fingerprint() == a.Fingerprint() {
				t.Errorf("starting over: %v", err)
			}
		})
	}
}
