package ca

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// lockToRotate locks a directory that holds a CA, whole or not, completes a
// switch that was interrupted, and reports whether there was one.
func lockToRotate(dir string) (unlock func(), settled bool, err error) {
	if err := checkDir(dir); err != nil {
		return nil, false, err
	}
	secret, noSecret := os.Lstat(filepath.Join(dir, secretFile))
	_, noRoot := os.Lstat(filepath.Join(dir, rootFile))
	switch {
	case noSecret != nil && noRoot != nil:
		_, err := readFiles(dir) // says that there is none, and how one comes about
		return nil, false, err
	case noSecret == nil && !secret.Mode().IsRegular():
		_, err := readSecret(dir)
		return nil, false, err
	}
	if unlock, err = lock(dir); err != nil {
		return nil, false, err
	}
	removeLeftovers(dir)
	if settled, err = settle(dir); err != nil {
		unlock()
		return nil, false, err
	}
	return unlock, settled, nil
}

// switching reports whether the CA in dir, whose root is not the one in ca.pem,
// is between the two files of a switch; the error says that it is not. The
// order matters, as the switch may be going on: next goes only once ca.pem has
// followed.
func switching(dir string, root *x509.Certificate) (behind bool, err error) {
	data, _ := os.ReadFile(filepath.Join(dir, nextDir, rootFile))
	if next, err := decodeRoot(data); err == nil && next.Equal(root) {
		return true, nil
	}
	data, err = os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return false, err
	}
	if now, err := decodeRoot(data); err != nil || !now.Equal(root) {
		return false, errors.New("is not the root of " + secretFile)
	}
	return false, nil
}

// settle completes a switch that was interrupted after it happened, and reports
// whether there was one. The caller holds the lock.
func settle(dir string) (bool, error) {
	next := filepath.Join(dir, nextDir)
	root, following := secretRoot(dir), secretRoot(next)
	if root == nil || following == nil || !root.Equal(following) {
		return false, nil
	}
	if err := writeFile(filepath.Join(dir, rootFile), certificatePEM(root), 0o644); err != nil {
		return false, fmt.Errorf("ca: %w", err)
	}
	return true, removeNext(dir)
}

// discardNext removes the next CA, if any, and remembers its root.
func discardNext(dir string) error {
	next := filepath.Join(dir, nextDir)
	if root := currentRoot(next); root != nil {
		if err := retire(dir, root, nil); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return removeNext(dir)
}

// removing returns the steps that remove the next CA. Its ca.pem goes first: a
// directory with that and without the key would look damaged.
func removing(dir string) []func() error {
	next := filepath.Join(dir, nextDir)
	return []func() error{
		func() error { return removeFile(filepath.Join(next, rootFile)) },
		func() error { return removeFile(filepath.Join(next, secretFile)) },
		func() error { return os.RemoveAll(next) },
	}
}

func removeNext(dir string) error {
	for _, step := range removing(dir) {
		if err := step(); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return nil
}

func removeFile(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// retire remembers root, unless it is nil or the one that stays.
func retire(dir string, root, stays *x509.Certificate) error {
	if root == nil || root.Equal(stays) {
		return nil
	}
	file := filepath.Join(dir, retiredFile)
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if slices.ContainsFunc(certificatesIn(data), root.Equal) {
		return nil
	}
	return writeFile(file, slices.Concat(data, certificatePEM(root)), 0o644)
}

// currentRoot returns the root of the CA in dir, from either file, or nil.
func currentRoot(dir string) *x509.Certificate {
	data, _ := os.ReadFile(filepath.Join(dir, rootFile))
	if root, err := decodeRoot(data); err == nil {
		return root
	}
	return secretRoot(dir)
}

// secretRoot returns the root in the file that decides which CA is in dir, or
// nil if there is none that can be read.
func secretRoot(dir string) *x509.Certificate {
	data, err := readSecret(dir)
	if err != nil {
		return nil
	}
	c, err := decodeSecret(data)
	if err != nil {
		return nil
	}
	return c.root
}

// ensureThere returns the CA in dir as [Ensure] does, but never makes one. The
// caller holds the lock.
func ensureThere(dir string, now func() time.Time) (*Authority, error) {
	if _, err := readFiles(dir); err != nil {
		return nil, err
	}
	return ensureLocked(dir, Permit{}, now)
}

func certificatesIn(data []byte) (found []*x509.Certificate) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			found = append(found, c)
		}
	}
	return found
}
