package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// distribution is how a Linux keeps its roots: files that an administrator adds
// go into one directory, and a program makes of them what clients read.
type distribution struct {
	name    string
	marker  string // a file that only this one has
	anchors string // where added roots go
	suffix  string // that their names must have
	bundle  string // the roots that clients read, in PEM, as update makes it
	update  []string
	tidy    []string // the same after a root was removed
	pkg     string   // installs update
	nss     string   // installs certutil
}

// Debian's program leaves dangling links of removed roots, unless it starts
// afresh.
var distributions = [...]distribution{
	{
		name: "Alpine", marker: "/etc/alpine-release",
		anchors: "/usr/local/share/ca-certificates", suffix: ".crt", bundle: "/etc/ssl/certs/ca-certificates.crt",
		update: []string{"update-ca-certificates"}, tidy: []string{"update-ca-certificates"},
		pkg: "apk add ca-certificates", nss: "apk add nss-tools",
	},
	{
		name: "Arch", marker: "/etc/arch-release",
		anchors: "/etc/ca-certificates/trust-source/anchors", suffix: ".crt", bundle: "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
		update: []string{"update-ca-trust"}, tidy: []string{"update-ca-trust"},
		pkg: "pacman -S ca-certificates-utils", nss: "pacman -S nss",
	},
	{
		name: "Fedora", marker: "/etc/redhat-release",
		anchors: "/etc/pki/ca-trust/source/anchors", suffix: ".pem", bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		update: []string{"update-ca-trust", "extract"}, tidy: []string{"update-ca-trust", "extract"},
		pkg: "dnf install ca-certificates", nss: "dnf install nss-tools",
	},
	{
		name: "Debian", marker: "/etc/debian_version",
		anchors: "/usr/local/share/ca-certificates", suffix: ".crt", bundle: "/etc/ssl/certs/ca-certificates.crt",
		update: []string{"update-ca-certificates"}, tidy: []string{"update-ca-certificates", "--fresh"},
		pkg: "apt-get install ca-certificates", nss: "apt-get install libnss3-tools",
	},
}

// distribution returns the one of this machine, or the one whose ways it has,
// or nil.
func (m *Machine) distribution() *distribution {
	for i := range distributions {
		if m.exists(distributions[i].marker) {
			return &distributions[i]
		}
	}
	for i := range distributions {
		if m.exists(distributions[i].anchors) {
			return &distributions[i]
		}
	}
	return nil
}

func (m *Machine) systemStores() []*Store {
	switch m.os {
	case "darwin":
		return []*Store{{Kind: System, Name: "your login keychain", store: keychain{m}}}
	case "windows":
		return []*Store{{Kind: System, Name: "your root store of Windows", store: rootStore{m}}}
	case "linux":
		if d := m.distribution(); d != nil {
			return []*Store{{Kind: System, Name: "the store of " + d.name, store: anchored{m, *d}}}
		}
	}
	return nil
}

// anchored is the store of a distribution.
type anchored struct {
	m *Machine
	distribution
}

func (s anchored) install(_ context.Context, root *x509.Certificate, file string) (Plan, error) {
	if s.trusted(root) {
		return Plan{}, nil
	}
	update, err := s.program(s.update)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Privileged: !s.m.writable(s.anchors)}
	if len(s.anchorsOf(root)) == 0 {
		if !s.m.exists(s.anchors) {
			p.Commands = append(p.Commands, []string{"mkdir", "-p", s.anchors})
		}
		p.Commands = append(p.Commands, []string{"install", "-m", "644", file, s.anchors + "/" + label(root) + s.suffix})
	}
	p.Commands = append(p.Commands, update)
	return p, nil
}

// uninstall updates the store even if no file is to be removed: somebody may
// have removed it by hand.
func (s anchored) uninstall(_ context.Context, root *x509.Certificate) (Plan, error) {
	anchors := s.anchorsOf(root)
	if len(anchors) == 0 && !s.trusted(root) {
		return Plan{}, nil
	}
	update, err := s.program(s.tidy)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Privileged: !s.m.writable(s.anchors)}
	if len(anchors) > 0 {
		p.Commands = append(p.Commands, append([]string{"rm", "-f"}, anchors...))
	}
	p.Commands = append(p.Commands, update)
	return p, nil
}

// program returns the command as it can be run.
func (s anchored) program(args []string) ([]string, error) {
	name, ok := s.m.program(args[0])
	if !ok {
		return nil, &Error{Reason: args[0] + " is not installed", Hint: s.pkg}
	}
	return append([]string{name}, args[1:]...), nil
}

// trusted reports whether root is among the roots that clients read.
func (s anchored) trusted(root *x509.Certificate) bool {
	data, err := os.ReadFile(s.m.root + s.bundle)
	return err == nil && holds(data, root)
}

// anchorsOf returns the files of added roots that hold root and nothing else,
// whatever they are called.
func (s anchored) anchorsOf(root *x509.Certificate) (found []string) {
	filepath.WalkDir(s.m.root+s.anchors, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if data, err := os.ReadFile(name); err == nil && holds(data, root) && len(certificatesIn(data)) == 1 {
			found = append(found, strings.TrimPrefix(name, s.m.root))
		}
		return nil
	})
	return found
}

// holds reports whether PEM data holds root.
func holds(data []byte, root *x509.Certificate) bool {
	return slices.ContainsFunc(certificatesIn(data), func(der []byte) bool { return bytes.Equal(der, root.Raw) })
}

// certificatesIn returns the certificates of PEM data in DER, unparsed.
func certificatesIn(data []byte) (found [][]byte) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			found = append(found, block.Bytes)
		}
	}
	return found
}
