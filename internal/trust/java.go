package trust

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// javaPassword is what the key store of a Java has unless somebody has changed
// it. It protects nothing: the store holds no secrets.
const javaPassword = "changeit"

// javaPlaces are where Javas are installed; "~" is the user's home.
var javaPlaces = map[string][]string{
	"linux":   {"/usr/lib/jvm/*", "/opt/java/*", "~/.sdkman/candidates/java/*", "~/.jdks/*"},
	"darwin":  {"/Library/Java/JavaVirtualMachines/*/Contents/Home", "~/Library/Java/JavaVirtualMachines/*/Contents/Home", "~/.sdkman/candidates/java/*"},
	"windows": {`C:\Program Files\Java\*`, `C:\Program Files\Eclipse Adoptium\*`, `C:\Program Files\Microsoft\jdk*`, `~\.jdks\*`},
}

// javaStores returns the key store of every Java that is found, each once:
// several often share one.
func (m *Machine) javaStores() (found []*Store) {
	var seen []string
	for _, home := range m.javaHomes() {
		for _, inside := range []string{"/lib/security/cacerts", "/jre/lib/security/cacerts"} {
			file, err := filepath.EvalSymlinks(m.root + home + inside)
			if err != nil || slices.Contains(seen, file) {
				continue
			}
			seen = append(seen, file)
			found = append(found, &Store{
				Kind: Java, Name: "Java in " + home, Note: "restart what runs on it",
				store: keyStore{m: m, home: home, file: strings.TrimPrefix(file, m.root)},
			})
		}
	}
	return found
}

// javaHomes returns where Javas are, the one that is used by default first.
func (m *Machine) javaHomes() (homes []string) {
	if home := m.getenv("JAVA_HOME"); home != "" {
		homes = append(homes, home)
	}
	if java, err := m.lookPath("java"); err == nil {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			homes = append(homes, strings.TrimPrefix(filepath.Dir(filepath.Dir(java)), m.root))
		}
	}
	for _, place := range javaPlaces[m.os] {
		if below, ok := strings.CutPrefix(place, "~"); ok {
			place = m.home + below
		}
		homes = append(homes, m.glob(place)...)
	}
	return homes
}

// keyStore is the file of one Java with its roots.
type keyStore struct {
	m    *Machine
	home string
	file string // links followed
}

func (s keyStore) install(ctx context.Context, root *x509.Certificate, file string) (Plan, error) {
	alias, err := s.find(ctx, root)
	if err != nil || alias != "" {
		return Plan{}, err
	}
	if s.extracted() {
		return Plan{Follows: true}, nil
	}
	return s.plan("-importcert", "-noprompt", "-alias", label(root), "-file", file), nil
}

func (s keyStore) uninstall(ctx context.Context, root *x509.Certificate) (Plan, error) {
	alias, err := s.find(ctx, root)
	if err != nil || alias == "" {
		return Plan{}, err
	}
	if s.extracted() {
		return Plan{Follows: true}, nil
	}
	return s.plan("-delete", "-alias", alias), nil
}

func (s keyStore) plan(args ...string) Plan {
	return Plan{Commands: [][]string{s.keytool(args...)}, Privileged: !s.m.writable(s.file)}
}

// extracted reports whether the file is one that the program of the system's
// store makes anew whenever it runs, as on Fedora and Arch.
func (s keyStore) extracted() bool { return strings.Contains(s.file, "/extracted/") }

func (s keyStore) keytool(args ...string) []string {
	name := filepath.Join(s.home, "bin", "keytool")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return append([]string{name, args[0], "-keystore", s.file, "-storepass", javaPassword}, args[1:]...)
}

// find returns the alias of root, "" if it is not there.
func (s keyStore) find(ctx context.Context, root *x509.Certificate) (alias string, err error) {
	args := s.keytool("-list", "-rfc", "-J-Duser.language=en")
	if _, err := os.Stat(s.m.root + args[0]); err != nil {
		return "", &Error{Reason: "it has no keytool", Hint: "install the whole of it, or take the system's store"}
	}
	out, err := s.m.output(ctx, args...)
	if err != nil {
		return "", &Error{Reason: "it cannot be read", Hint: strings.Join(args[:4], " ") + " says why, or that the password is not " + javaPassword}
	}
	for _, entry := range strings.Split(string(out), "Alias name: ")[1:] {
		name, _, _ := strings.Cut(entry, "\n")
		if holds([]byte(entry), root) {
			return strings.TrimSpace(name), nil
		}
	}
	return "", nil
}
