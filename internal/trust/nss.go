package trust

import (
	"context"
	"crypto/x509"
	"path/filepath"
	"strings"
)

// nssPlaces are where the databases of a user lie, below his home: those of
// Chromium and its kin, and one per profile of Firefox.
var nssPlaces = map[string][]string{
	"linux": {
		".pki/nssdb", ".local/share/pki/nssdb", "snap/chromium/current/.pki/nssdb", ".var/app/*/data/pki/nssdb",
		".mozilla/firefox/*", ".config/mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*",
		".var/app/org.mozilla.firefox/.mozilla/firefox/*",
	},
	"darwin": {"Library/Application Support/Firefox/Profiles/*"},
}

// nssStores leaves Windows out: no certutil for NSS comes to it, and Firefox
// trusts there what the system trusts.
func (m *Machine) nssStores() (found []*Store) {
	for _, place := range nssPlaces[m.os] {
		for _, db := range m.glob(m.home + "/" + place + "/cert9.db") {
			dir := filepath.Dir(db)
			s := &Store{Kind: NSS, Name: "the NSS database " + dir, Note: "restart Chromium", store: database{m, dir}}
			if strings.Contains(strings.ToLower(dir), "firefox") {
				s.Note = "restart Firefox"
			}
			found = append(found, s)
		}
	}
	return found
}

// database is one NSS database in the SQL format.
type database struct {
	m   *Machine
	dir string
}

func (s database) install(ctx context.Context, root *x509.Certificate, file string) (Plan, error) {
	certutil, err := s.certutil()
	if err != nil {
		return Plan{}, err
	}
	entry, err := s.find(ctx, root)
	if err != nil || entry.trusted {
		return Plan{}, err
	}
	p := Plan{Privileged: !s.m.writable(s.dir)}
	if entry.name != "" { // there, but not trusted
		p.Commands = [][]string{{certutil, "-M", "-d", "sql:" + s.dir, "-t", "C,,", "-n", entry.name}}
	} else {
		p.Commands = [][]string{{certutil, "-A", "-d", "sql:" + s.dir, "-t", "C,,", "-n", label(root), "-i", file}}
	}
	return p, nil
}

func (s database) uninstall(ctx context.Context, root *x509.Certificate) (Plan, error) {
	certutil, err := s.certutil()
	if err != nil {
		return Plan{}, err
	}
	entry, err := s.find(ctx, root)
	if err != nil || entry.name == "" {
		return Plan{}, err
	}
	return Plan{
		Commands:   [][]string{{certutil, "-D", "-d", "sql:" + s.dir, "-n", entry.name}},
		Privileged: !s.m.writable(s.dir),
	}, nil
}

func (s database) certutil() (string, error) {
	name, ok := s.m.program("certutil")
	if !ok {
		e := &Error{Reason: "certutil, which changes it, is not installed", Hint: "install the tools of NSS"}
		if d := s.m.distribution(); s.m.os == "darwin" {
			e.Hint = "brew install nss"
		} else if d != nil {
			e.Hint = d.nss
		}
		return "", e
	}
	return name, nil
}

// entry is a certificate in a database; the zero entry is none.
type entry struct {
	name    string
	trusted bool // as a CA for servers
}

// find looks for root under the names that certutil and Firefox would give
// it: a profile may hold hundreds of others.
func (s database) find(ctx context.Context, root *x509.Certificate) (entry, error) {
	certutil, err := s.certutil()
	if err != nil {
		return entry{}, err
	}
	list, err := s.m.output(ctx, certutil, "-L", "-d", "sql:"+s.dir)
	if err != nil {
		return entry{}, &Error{Reason: "it cannot be read", Hint: certutil + " -L -d sql:" + s.dir + " says why"}
	}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || !strings.HasPrefix(line, label(root)) && !strings.HasPrefix(line, root.Subject.CommonName) {
			continue
		}
		name, flags := strings.TrimSpace(line[:end]), line[end+1:]
		der, err := s.m.output(ctx, certutil, "-L", "-d", "sql:"+s.dir, "-n", name, "-a")
		if err == nil && holds(der, root) {
			servers, _, _ := strings.Cut(flags, ",")
			return entry{name: name, trusted: strings.Contains(servers, "C")}, nil
		}
	}
	return entry{}, nil
}
