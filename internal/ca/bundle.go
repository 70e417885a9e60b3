package ca

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// bundleVariables name files of roots that a client would use instead of the
// system's, or besides them. Their roots go into the bundle, as it takes the
// place of those files.
var bundleVariables = [...]string{
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
	"NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO",
}

// WriteBundle writes file, readable by all and replaced as a whole, for clients
// that can only replace their store: the system's roots, those of the PEM
// files extra, those of the files that the environment (asked with getenv)
// names for curl, Node and the like, and root, each certificate once.
//
// A file in extra that cannot be read or holds no certificate is an error. A
// file that the environment names is taken if it can be: a client would not
// have got more from it. The bundle never reads itself, as it would then keep
// roots that are gone. On macOS the system's roots are those that Apple ships
// in /etc/ssl/cert.pem, without what was added to a keychain; on Windows those
// that its store holds by now, as it fetches some when they are first needed.
func WriteBundle(file string, root []byte, extra []string, getenv func(string) string) error {
	b, err := newBundle(extra)
	if err != nil {
		return err
	}
	for _, variable := range bundleVariables {
		if name := getenv(variable); name != "" && !sameFile(name, file) {
			data, _ := os.ReadFile(name)
			b.add(data)
		}
	}
	b.add(root)
	if err := writeFile(file, b.out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// Bundle returns what WriteBundle would write where the environment names no
// files.
func Bundle(root []byte, extra []string) ([]byte, error) {
	b, err := newBundle(extra)
	if err != nil {
		return nil, err
	}
	b.add(root)
	return b.out.Bytes(), nil
}

// ExtendBundle adds root, in PEM, to a bundle that is there, and does nothing
// without one: what WriteBundle put in stays as it is until the next WriteBundle.
func ExtendBundle(file string, root []byte) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	var b bundle
	b.add(data)
	b.add(root)
	if err := writeFile(file, b.out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// bundle collects certificates. The zero bundle is empty and ready.
type bundle struct {
	out  bytes.Buffer
	seen map[string]bool // by DER
}

// newBundle returns the system's roots and those of the files extra.
func newBundle(extra []string) (*bundle, error) {
	b := new(bundle)
	system, err := systemRoots()
	if err != nil {
		return nil, fmt.Errorf("ca: reading the system's roots: %w", err)
	}
	b.out.Grow(2 * len(system)) // with room for others: it is copied no more
	b.add(system)
	for _, name := range extra {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if b.add(data) == 0 {
			return nil, fmt.Errorf("ca: %s: holds no certificate", name)
		}
	}
	return b, nil
}

// add takes the certificates of PEM data and returns how many there were. They
// are not parsed: what a client makes of an odd root is its own matter.
func (b *bundle) add(data []byte) int {
	n := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return n
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if b.seen[string(block.Bytes)] {
			continue
		}
		if b.seen == nil {
			b.seen = make(map[string]bool)
		}
		b.seen[string(block.Bytes)] = true
		b.out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	}
}

func sameFile(a, b string) bool {
	infoA, err := os.Stat(a)
	if err != nil {
		return false
	}
	infoB, err := os.Stat(b)
	return err == nil && os.SameFile(infoA, infoB)
}
