// Package trust has the trust stores of a machine trust a root, and forget it
// again: those of Debian, Fedora, Arch, Alpine, macOS and Windows, the NSS
// databases of this user's browsers, and those of Java.
//
// It says what it would run before it does, runs nothing else, and never runs
// sudo. It goes by what is in a store, so that doing a thing twice does nothing,
// and takes out only the very certificate that it is given. What a program
// prints is searched for certificates and shown to nobody.
package trust

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Kind is a family of stores.
type Kind string

// The families: what the programs of the system use, the databases of Firefox
// and Chromium, and the key stores of Java.
const (
	System Kind = "system"
	NSS    Kind = "nss"
	Java   Kind = "java"
)

// Kinds returns all of them, in the order in which they are to be dealt with:
// some Javas get their roots from the system's.
func Kinds() []Kind { return []Kind{System, NSS, Java} }

// Store is one place where clients look for roots. It comes from
// [Machine.Stores] and is used by one goroutine at a time.
type Store struct {
	Kind Kind
	Name string // for people: "the store of Debian"
	Note string // what to do once it has changed, "" if nothing

	store
}

// store is what the kinds differ in. A plan is empty if nothing is left to do,
// which is also how a change is verified.
type store interface {
	install(ctx context.Context, root *x509.Certificate, file string) (Plan, error)
	uninstall(ctx context.Context, root *x509.Certificate) (Plan, error)
}

// Plan is what it takes to change one store.
type Plan struct {
	// Commands are run in turn; each is a program and its arguments.
	Commands [][]string

	// Privileged means that this user may not do it.
	Privileged bool

	// Follows means that the store is made from the system's and changes with
	// it; there are no commands.
	Follows bool
}

// Done reports whether there is nothing left to do.
func (p Plan) Done() bool { return len(p.Commands) == 0 && !p.Follows }

// Error is what keeps a store from being changed.
type Error struct {
	Reason string // one line
	Hint   string // what to do about it, "" if that is not known
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }

// Install returns what has the store trust root, whose PEM is in file. It only
// looks. What it cannot find out, or lacks a program for, is an [*Error].
func (s *Store) Install(ctx context.Context, root *x509.Certificate, file string) (Plan, error) {
	return s.install(ctx, root, file)
}

// Uninstall returns what takes root, and nothing else, out of the store. It
// only looks. Its errors are those of [Store.Install].
func (s *Store) Uninstall(ctx context.Context, root *x509.Certificate) (Plan, error) {
	return s.uninstall(ctx, root)
}

// Machine is where stores are looked for: this one, as Here has it.
type Machine struct {
	os   string // as runtime.GOOS
	home string // of the user

	getenv   func(string) string
	lookPath func(string) (string, error)

	// root stands in front of every path that is looked at, and of none in a
	// command; "" here.
	root string

	// output runs a program that changes nothing.
	output func(ctx context.Context, args ...string) ([]byte, error)
}

// Here returns this machine, as this process and its user see it.
func Here() (*Machine, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return &Machine{os: runtime.GOOS, home: home, getenv: os.Getenv, lookPath: exec.LookPath, output: output}, nil
}

// Stores returns the stores of these kinds that there are.
func (m *Machine) Stores(kinds []Kind) []*Store {
	var found []*Store
	for _, k := range kinds {
		switch k {
		case System:
			found = append(found, m.systemStores()...)
		case NSS:
			found = append(found, m.nssStores()...)
		case Java:
			found = append(found, m.javaStores()...)
		}
	}
	return found
}

// Run runs the commands of p. A plan that this user may not carry out is
// refused.
func (p Plan) Run(ctx context.Context) error {
	if p.Privileged {
		return &Error{Reason: "it takes root"}
	}
	for _, args := range p.Commands {
		if _, err := output(ctx, args...); err != nil {
			return &Error{Reason: args[0] + " failed: " + err.Error(), Hint: "run it in a terminal to see what it says"}
		}
	}
	return nil
}

// kept are the variables that the programs get. Others may hold secrets, and
// JAVA_TOOL_OPTIONS would change what keytool says.
var kept = [...]string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "JAVA_HOME",
	"SystemRoot", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP"}

// output runs a program, which gets no input, and returns what it prints.
func output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) // #nosec G204 -- args are ours, there is no shell
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range kept {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd.Output()
}

// exists reports whether there is something at path.
func (m *Machine) exists(path string) bool {
	_, err := os.Stat(m.root + path)
	return err == nil
}

// glob returns what matches any of the patterns, in order.
func (m *Machine) glob(patterns ...string) (found []string) {
	for _, p := range patterns {
		matches, _ := filepath.Glob(m.root + p)
		for _, name := range matches {
			found = append(found, strings.TrimPrefix(name, m.root))
		}
	}
	return found
}

// program returns name as it can be run, if it can: the directories of root's
// programs are often missing in a user's PATH.
func (m *Machine) program(name string) (string, bool) {
	if _, err := m.lookPath(name); err == nil {
		return name, true
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if m.os != "windows" && m.exists(dir+name) {
			return dir + name, true
		}
	}
	return "", false
}

// label is what root is called where a store wants a name.
func label(root *x509.Certificate) string { return "injectproxy-" + fingerprint(root)[:8] }

// fingerprint returns the SHA-256 in lower-case hex.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
