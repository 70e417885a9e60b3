package trust

import (
	"context"
	"crypto/sha1" // #nosec G505 -- what Windows calls a certificate by
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os/exec"
	"strings"
)

// keychain is the login keychain of macOS and what this user trusts in it,
// which takes no administrator: the system asks for the user's consent.
type keychain struct{ m *Machine }

func (s keychain) file() string { return s.m.home + "/Library/Keychains/login.keychain-db" }

func (s keychain) install(ctx context.Context, root *x509.Certificate, file string) (Plan, error) {
	// -l: it is a CA that is verified, -L: without asking the network.
	_, err := s.m.output(ctx, "security", "verify-cert", "-q", "-l", "-L", "-p", "ssl", "-c", file)
	if err == nil {
		return Plan{}, nil
	}
	if err := ran("security", err); err != nil {
		return Plan{}, err
	}
	return Plan{Commands: [][]string{
		{"security", "add-trusted-cert", "-r", "trustRoot", "-p", "ssl", "-p", "basic", "-k", s.file(), file},
	}}, nil
}

func (s keychain) uninstall(ctx context.Context, root *x509.Certificate) (Plan, error) {
	hash := strings.ToUpper(fingerprint(root))
	out, err := s.m.output(ctx, "security", "find-certificate", "-a", "-Z", "-c", root.Subject.CommonName, s.file())
	if err := ran("security", err); err != nil {
		return Plan{}, err
	}
	if !strings.Contains(string(out), hash) {
		return Plan{}, nil
	}
	// -t: and what says that it is trusted.
	return Plan{Commands: [][]string{{"security", "delete-certificate", "-t", "-Z", hash, s.file()}}}, nil
}

// rootStore is the store of the current user of Windows, which takes no
// administrator: the system asks for the user's consent.
type rootStore struct{ m *Machine }

// certutil is Windows' own: NSS has a program of that name.
func (s rootStore) certutil(args ...string) []string {
	dir := s.m.getenv("SystemRoot")
	if dir == "" {
		dir = `C:\Windows`
	}
	return append([]string{dir + `\System32\certutil.exe`, "-user"}, args...)
}

func (s rootStore) install(ctx context.Context, root *x509.Certificate, file string) (Plan, error) {
	there, err := s.has(ctx, root)
	if err != nil || there {
		return Plan{}, err
	}
	return Plan{Commands: [][]string{s.certutil("-addstore", "Root", file)}}, nil
}

func (s rootStore) uninstall(ctx context.Context, root *x509.Certificate) (Plan, error) {
	there, err := s.has(ctx, root)
	if err != nil || !there {
		return Plan{}, err
	}
	return Plan{Commands: [][]string{s.certutil("-delstore", "Root", thumbprint(root))}}, nil
}

func (s rootStore) has(ctx context.Context, root *x509.Certificate) (bool, error) {
	args := s.certutil("-store", "Root", thumbprint(root))
	_, err := s.m.output(ctx, args...)
	return err == nil, ran(args[0], err)
}

// thumbprint returns the SHA-1 in hex.
func thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) // #nosec G401 -- a name, no proof
	return hex.EncodeToString(sum[:])
}

// ran returns nil if a program ran, whatever came of it.
func ran(program string, err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); err == nil || ok {
		return nil
	}
	return &Error{Reason: program + " cannot be run", Hint: "see that it is in PATH"}
}
