package trust

import (
	"crypto/x509"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// worldEnv names the test that this process runs in a mount namespace.
const worldEnv = "TRUST_TEST_WORLD"

const (
	debianAnchors = "/usr/local/share/ca-certificates"
	debianBundle  = "/etc/ssl/certs/ca-certificates.crt"
)

// inWorld runs the test in a process whose store is a copy of the machine's,
// and reports whether this is that process.
func inWorld(t *testing.T) bool {
	t.Helper()
	if os.Getenv(worldEnv) == t.Name() {
		for _, dir := range []string{"/etc/ssl", debianAnchors} {
			hide(t, dir, os.DirFS(dir))
		}
		hide(t, "/etc/ca-certificates/update.d", nil) // they would change what is not hidden
		fewRoots(t)
		return true
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil || os.Getuid() != 0 {
		absent(t, "this takes root on a Debian")
	}
	needs(t, "update-ca-certificates")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), worldEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// fewRoots has the store made of a few roots, as each takes time.
func fewRoots(t *testing.T) {
	t.Helper()
	const list = "/etc/ca-certificates.conf"
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	few := ""
	for line := range strings.Lines(string(data)) {
		if line[0] != '#' && line[0] != '!' && strings.Count(few, "\n") < 3 {
			few += line
		}
	}
	file := filepath.Join(t.TempDir(), "few")
	write(t, file, []byte(few))
	if err := syscall.Mount(file, list, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(list, syscall.MNT_DETACH) })
	shell(t, "update-ca-certificates", "--fresh")
}

// hide puts a copy of content, or nothing, in the place of dir.
func hide(t *testing.T, dir string, content fs.FS) {
	t.Helper()
	copied := t.TempDir()
	if content != nil {
		if err := os.CopyFS(copied, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount(copied, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// everything returns what lies in the store: links by where they lead.
func everything(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"/etc/ssl/certs", debianAnchors} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if to, err := os.Readlink(name); err == nil {
				all[name] = to
				return nil
			}
			data, err := os.ReadFile(name)
			all[name] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func inBundle(t *testing.T, root *x509.Certificate) bool {
	t.Helper()
	data, err := os.ReadFile(debianBundle)
	if err != nil {
		t.Fatal(err)
	}
	return holds(data, root)
}

func TestDebianTrustsTheRootAndForgetsItWithoutATrace(t *testing.T) {
	if !inWorld(t) {
		return
	}
	machine, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	s := one(t, machine, System)
	root, file := newRoot(t)
	other, otherFile := newRoot(t)
	install(t, s, other, otherFile)
	before := everything(t)

	install(t, s, root, file)
	if !inBundle(t, root) || !inBundle(t, other) {
		t.Error("not in the file that clients read")
	}
	if out := shell(t, "openssl", "verify", "-CApath", "/etc/ssl/certs", file); !strings.Contains(out, ": OK") {
		t.Errorf("openssl says %s", out)
	}
	uninstall(t, s, root)
	if after := everything(t); !maps.Equal(before, after) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	if !inBundle(t, other) {
		t.Error("another root was removed too")
	}
}

func TestDebianGoesByWhatAFileHoldsNotByItsName(t *testing.T) {
	if !inWorld(t) {
		return
	}
	machine, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	s := one(t, machine, System)
	root, file := newRoot(t)
	other, _ := newRoot(t)
	byHand := debianAnchors + "/by hand.crt"
	write(t, byHand, pemOf(root))
	p, err := s.Install(t.Context(), root, file)
	if err != nil || len(p.Commands) != 1 {
		t.Errorf("a file that is there needs an update alone: %+v, %v", p, err)
	}
	install(t, s, root, file)
	// Somebody else's root under the name that ours would have, and a file that
	// holds ours beside another.
	impostor, shared := debianAnchors+"/"+label(root)+".crt", debianAnchors+"/shared.crt"
	write(t, impostor, pemOf(other))
	uninstall(t, s, root)
	if _, err := os.Stat(byHand); err == nil {
		t.Error("our root is still there")
	}
	if _, err := os.Stat(impostor); err != nil || !inBundle(t, other) {
		t.Error("another root was removed for its name")
	}
	write(t, shared, append(pemOf(root), pemOf(other)...))
	shell(t, "update-ca-certificates")
	p, err = s.Uninstall(t.Context(), root)
	if err != nil || p.Done() {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(shared); err != nil {
		t.Error("a file with other roots was removed")
	}
	if p, err := s.Uninstall(t.Context(), root); err != nil || p.Done() {
		t.Errorf("it passes for removed: %+v, %v", p, err)
	}
}

func TestStoreThatMayNotBeWrittenTakesRoot(t *testing.T) {
	if !inWorld(t) {
		return
	}
	machine, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	s := one(t, machine, System)
	root, file := newRoot(t)
	if err := syscall.Mount("", debianAnchors, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	p, err := s.Install(t.Context(), root, file)
	if err != nil || !p.Privileged || len(p.Commands) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := p.Run(t.Context()); err == nil || inBundle(t, root) {
		t.Errorf("it was run: %v", err)
	}
}
