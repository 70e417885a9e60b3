//go:build unix

package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withJava returns a machine with one Java: the real one, with a key store of
// its own.
func withJava(t *testing.T) (m *Machine, keyStore string) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("Java takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		absent(t, "keytool is not installed")
	}
	keytool, err = filepath.EvalSymlinks(keytool)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "my java")
	keyStore = filepath.Join(home, "lib", "security", "cacerts")
	data, err := os.ReadFile(filepath.Join(filepath.Dir(keytool), "..", "lib", "security", "cacerts"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, keyStore, data)
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(keytool, filepath.Join(home, "bin", "keytool")); err != nil {
		t.Fatal(err)
	}
	m, err = Here()
	if err != nil {
		t.Fatal(err)
	}
	m.os = "" // no Java but the one that JAVA_HOME names
	m.lookPath = func(string) (string, error) { return "", exec.ErrNotFound }
	m.getenv = func(name string) string { return map[string]string{"JAVA_HOME": home}[name] }
	return m, keyStore
}

func TestJavaTrustsTheRootAndForgetsIt(t *testing.T) {
	t.Parallel()
	m, keyStore := withJava(t)
	s := one(t, m, Java)
	root, file := newRoot(t)
	other, otherFile := newRoot(t)
	install(t, s, root, file)
	install(t, s, other, otherFile)
	list := func() string {
		return shell(t, "keytool", "-list", "-keystore", keyStore, "-storepass", javaPassword)
	}
	before := list()
	if !strings.Contains(before, label(root)) || !strings.Contains(before, "trustedCertEntry") {
		t.Error("it is not among those that keytool lists")
	}
	uninstall(t, s, root)
	after := list()
	if strings.Contains(after, label(root)) || !strings.Contains(after, label(other)) {
		t.Error("not just ours was removed")
	}
}

func TestRootThatJavaHasAlreadyIsFoundByWhatItIs(t *testing.T) {
	t.Parallel()
	m, keyStore := withJava(t)
	s := one(t, m, Java)
	root, file := newRoot(t)
	shell(t, "keytool", "-importcert", "-noprompt", "-keystore", keyStore, "-storepass", javaPassword, "-alias", "by hand", "-file", file)
	if p, err := s.Install(t.Context(), root, file); err != nil || !p.Done() {
		t.Errorf("%+v, %v", p, err)
	}
	uninstall(t, s, root)
}

func TestKeyStoreWithAPasswordOfItsOwnIsLeftAlone(t *testing.T) {
	t.Parallel()
	m, keyStore := withJava(t)
	shell(t, "keytool", "-storepasswd", "-keystore", keyStore, "-storepass", javaPassword, "-new", "another")
	root, file := newRoot(t)
	_, err := one(t, m, Java).Install(t.Context(), root, file)
	if e, ok := err.(*Error); !ok || !strings.Contains(e.Hint, "password") {
		t.Errorf("%v", err)
	}
}

// Fedora and Arch make the key store of Java from their own.
func TestKeyStoreThatTheSystemMakesFollowsIt(t *testing.T) {
	t.Parallel()
	m, keyStore := withJava(t)
	made := filepath.Join(t.TempDir(), "extracted", "java", "cacerts")
	data, err := os.ReadFile(keyStore)
	if err != nil {
		t.Fatal(err)
	}
	write(t, made, data)
	if err := os.Remove(keyStore); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(made, keyStore); err != nil {
		t.Fatal(err)
	}
	s := one(t, m, Java)
	root, file := newRoot(t)
	if p, err := s.Install(t.Context(), root, file); err != nil || !p.Follows || p.Done() || p.Commands != nil {
		t.Errorf("%+v, %v", p, err)
	}
	shell(t, "keytool", "-importcert", "-noprompt", "-keystore", made, "-storepass", javaPassword, "-alias", "x", "-file", file)
	if p, err := s.Install(t.Context(), root, file); err != nil || !p.Done() {
		t.Errorf("once the system has it: %+v, %v", p, err)
	}
	if p, err := s.Uninstall(t.Context(), root); err != nil || !p.Follows {
		t.Errorf("%+v, %v", p, err)
	}
}
