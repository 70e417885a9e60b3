package trust

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// browsers returns a machine whose user has a database of Chromium and one of
// Firefox, and their directories.
func browsers(t *testing.T) (m *Machine, dirs []string) {
	t.Helper()
	needs(t, "certutil")
	m, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	m.home = t.TempDir()
	for _, place := range []string{".pki/nssdb", ".mozilla/firefox/x1 y.default"} {
		dir := filepath.Join(m.home, place)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		shell(t, "certutil", "-N", "-d", "sql:"+dir, "--empty-password")
		dirs = append(dirs, dir)
	}
	return m, dirs
}

func TestBrowsersTrustTheRootAndForgetIt(t *testing.T) {
	t.Parallel()
	m, dirs := browsers(t)
	root, file := newRoot(t)
	other, otherFile := newRoot(t)
	stores := m.Stores([]Kind{NSS})
	if len(stores) != len(dirs) {
		t.Fatalf("%d stores", len(stores))
	}
	for i, s := range stores {
		install(t, s, root, file)
		install(t, s, other, otherFile)
		shell(t, "certutil", "-V", "-u", "L", "-d", "sql:"+dirs[i], "-n", label(root)) // fails unless it is valid
		if !strings.Contains(s.Note, []string{"Chromium", "Firefox"}[i]) {
			t.Errorf("%s: %s", s.Name, s.Note)
		}
		uninstall(t, s, root)
		if list := shell(t, "certutil", "-L", "-d", "sql:"+dirs[i]); strings.Contains(list, label(root)) || !strings.Contains(list, label(other)) {
			t.Errorf("left is\n%s", list)
		}
	}
}

func TestRootThatABrowserHasAlreadyIsFoundByWhatItIs(t *testing.T) {
	t.Parallel()
	m, dirs := browsers(t)
	s := m.Stores([]Kind{NSS})[0]
	root, file := newRoot(t)
	other, otherFile := newRoot(t)
	byHand := root.Subject.CommonName + " - injectproxy"
	shell(t, "certutil", "-A", "-d", "sql:"+dirs[0], "-t", ",,", "-n", byHand, "-i", file)
	// Another's root under a name that ours might have.
	shell(t, "certutil", "-A", "-d", "sql:"+dirs[0], "-t", "C,,", "-n", label(root), "-i", otherFile)
	p, err := s.Install(t.Context(), root, file)
	if err != nil || len(p.Commands) != 1 || p.Commands[0][1] != "-M" {
		t.Fatalf("%+v, %v; want it to be trusted where it is", p, err)
	}
	install(t, s, root, file)
	uninstall(t, s, root)
	if list := shell(t, "certutil", "-L", "-d", "sql:"+dirs[0]); strings.Contains(list, byHand) || !strings.Contains(list, label(root)) {
		t.Errorf("left is\n%s", list)
	}
	if !holds([]byte(shell(t, "certutil", "-L", "-d", "sql:"+dirs[0], "-n", label(root), "-a")), other) {
		t.Error("another root was removed for its name")
	}
}

func TestDatabaseThatCannotBeReadSaysHowToFindOutWhy(t *testing.T) {
	t.Parallel()
	m, dirs := browsers(t)
	write(t, filepath.Join(dirs[0], "cert9.db"), []byte("spoilt"))
	root, file := newRoot(t)
	_, err := m.Stores([]Kind{NSS})[0].Install(t.Context(), root, file)
	if e, ok := err.(*Error); !ok || !strings.Contains(e.Hint, "certutil -L -d") {
		t.Errorf("%v", err)
	}
}
