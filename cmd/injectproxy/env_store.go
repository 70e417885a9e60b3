package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/clientenv"
)

func trustStoreFile(home string) string { return filepath.Join(caDir(home), "truststore.jks") }

// stores are the files with which clients replace their roots.
type stores struct {
	bundle string // PEM
	java   string // "" if it could not be written
}

// clientStores brings these files up to date: the bundle gets the roots of the
// files that environ names and serve's environment did not, and Java's trust
// store gets what is in the bundle. Where that fails the user is told on w, and
// what is there serves all the same.
func clientStores(w io.Writer, home string, root []byte, environ []string) stores {
	s := stores{bundle: bundleFile(home), java: trustStoreFile(home)}
	if err := mergeBundle(s.bundle, root, clientenv.Roots(environ)); err != nil {
		fmt.Fprintf(w, "note: %s lacks roots that this shell's clients trust: %v\n", s.bundle, err)
	}
	if err := writeTrustStore(s.java, s.bundle); err != nil {
		fmt.Fprintf(w, "note: Java is left alone: %v\n", err)
		s.java = ""
	}
	return s
}

// mergeBundle adds to bundle, or makes it of, the certificates of files that
// it lacks. Files that hold none are passed over, as a client would have got
// nothing from them either.
func mergeBundle(bundle string, root []byte, files []string) error {
	old, err := os.ReadFile(bundle)
	there := certificatesIn(old)
	extra := []string{bundle}
	if err != nil || len(there) == 0 {
		extra = nil
	}
	missing := extra == nil || !within(there, certificatesIn(root))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		certs := certificatesIn(data)
		if len(certs) == 0 {
			continue
		}
		extra = append(extra, file)
		missing = missing || !within(there, certs)
	}
	if !missing {
		return nil
	}
	return ca.WriteBundle(bundle, root, extra, func(string) string { return "" })
}

// withCertificates returns those of the files that hold certificates. From
// others a client would have got nothing either.
func withCertificates(files []string) (good []string) {
	for _, file := range files {
		if data, _ := os.ReadFile(file); len(certificatesIn(data)) > 0 {
			good = append(good, file)
		}
	}
	return good
}

// certificatesIn returns the certificates of PEM data, unparsed.
func certificatesIn(data []byte) map[string]bool {
	found := map[string]bool{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			found[string(block.Bytes)] = true
		}
	}
	return found
}

func within(set, part map[string]bool) bool {
	for c := range part {
		if !set[c] {
			return false
		}
	}
	return true
}

// writeTrustStore writes file, readable by all and replaced as a whole, for
// Java to trust what is in bundle.
func writeTrustStore(file, bundle string) error {
	data, err := os.ReadFile(bundle)
	if err != nil {
		return err
	}
	store, err := clientenv.TrustStore(data)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, store) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".truststore-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(store)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
