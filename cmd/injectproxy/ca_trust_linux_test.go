package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/ca"
)

// otherRoom is a mount namespace in which the trust store is a copy of the
// machine's, with fewer roots, as each takes time.
type otherRoom struct {
	t     *testing.T
	home  string
	hooks string // the directory of what update-ca-certificates runs in the end
	pid   int
}

// enterOtherRoom makes one for the program with this home. What it runs finds
// the program under its name.
func enterOtherRoom(t *testing.T, home string) *otherRoom {
	t.Helper()
	if _, err := os.Stat("/etc/debian_version"); err != nil || os.Getuid() != 0 {
		absent(t, "this takes root on a Debian")
	}
	for _, program := range []string{"unshare", "nsenter", "update-ca-certificates", "curl", "certutil"} {
		if _, err := exec.LookPath(program); err != nil {
			absent(t, "%s is not installed", program)
		}
	}
	exe, err := os.Executable()
	must(t, err)
	must(t, os.Mkdir(filepath.Join(home, "bin"), 0o700))
	must(t, os.Symlink(exe, filepath.Join(home, "bin", "injectproxy")))
	const prepare = `set -e
		for dir in /etc/ssl /usr/local/share/ca-certificates; do
			mkdir -p "$1$dir"; cp -a "$dir/." "$1$dir"; mount --bind "$1$dir" "$dir"
		done
		grep '^[^#!]' /etc/ca-certificates.conf | head -n 3 >"$1/few"; mount --bind "$1/few" /etc/ca-certificates.conf
		mkdir "$1/hooks"; mount --bind "$1/hooks" /etc/ca-certificates/update.d
		update-ca-certificates --fresh >/dev/null
		echo ready; exec cat`
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", prepare, "sh", dir)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, ready); err != nil {
		t.Fatalf("the room was not made: %v", err)
	}
	return &otherRoom{t, home, filepath.Join(dir, "hooks"), cmd.Process.Pid}
}

// run runs a program in there, and returns what it prints and its status.
func (r *otherRoom) run(args ...string) (output string, status int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), guard)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--mount", "--target", fmt.Sprint(r.pid), "--"}, args...)...)
	cmd.Env = []string{"PATH=" + filepath.Join(r.home, "bin") + ":" + os.Getenv("PATH"), "HOME=" + r.home,
		"INJECTPROXY_HOME=" + r.home, "GORACE=atexit_sleep_ms=0"}
	out, _ := cmd.CombinedOutput() // the status says it
	return string(out), cmd.ProcessState.ExitCode()
}

// want runs the program with a status, and looks for what it has to say.
func (r *otherRoom) want(status int, args []string, says ...string) string {
	r.t.Helper()
	out, got := r.run(append([]string{"injectproxy"}, args...)...)
	for _, s := range says {
		if !strings.Contains(out, s) {
			r.t.Errorf("%q says no %q", args, s)
		}
	}
	if got != status || r.t.Failed() {
		r.t.Fatalf("%q: exit status %d:\n%s", args, got, out)
	}
	return out
}

// trusts reports whether curl there, which goes by the system's store, gets an
// answer through d.
func (r *otherRoom) trusts(d *daemon) bool {
	r.t.Helper()
	const badCertificate = 60
	out, status := r.run("curl", "-sS", "-o", os.DevNull, "--proxy", "http://"+d.addr, "https://api.example.test/v1/x")
	if status != 0 && status != badCertificate {
		r.t.Fatalf("curl: exit status %d: %s", status, out)
	}
	return status == 0
}

func TestMachineTrustsTheCAThatIsInstalledThroughARotation(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	room := enterOtherRoom(t, home)
	exchangeConfig(t, newOrigin(t, "h1", nil, "api.example.test"), "", "").write(t, home)
	d := startDaemon(t, home, nil)
	old, err := ca.Open(caDir(home), nil)
	must(t, err)
	database := filepath.Join(home, ".pki", "nssdb")
	must(t, os.MkdirAll(database, 0o700))
	if out, status := room.run("certutil", "-N", "-d", "sql:"+database, "--empty-password"); status != 0 {
		t.Fatal(out)
	}
	stores := func(args ...string) []string { return append([]string{"ca"}, append(args, "--store", "nss,system")...) }
	check := func(when string, want bool) {
		t.Helper()
		if room.trusts(d) != want {
			t.Fatalf("%s: curl gets an answer: %t", when, !want)
		}
	}
	check("before", false)
	copies := "install -m 644 " + old.RootFile() + " /usr/local/share/ca-certificates/injectproxy-"
	room.want(0, stores("install", "--dry-run"), old.Fingerprint(), "the store of Debian\n  "+copies, "\n  update-ca-certificates\n", "certutil -A -d sql:"+database)
	check("after a dry run", false)
	room.want(0, stores("install"), "the store of Debian: it is trusted now\n", database+": it is trusted now; restart Chromium\n")
	check("installed", true)
	if out := room.want(0, stores("install"), "nothing to do: it is trusted"); strings.Contains(out, "install -m") || strings.Contains(out, "trusted now") {
		t.Errorf("a second time: %s", out)
	}

	room.want(0, []string{"ca", "rotate"})
	next, err := ca.Next(caDir(home), nil)
	must(t, err)
	room.want(0, stores("install"), next.Fingerprint(), next.RootFile(), "trusted now")
	check("rotating", true)
	room.want(0, []string{"ca", "rotate", "--finish"})
	check("finished", true)
	d.signal(os.Interrupt)
	d.stopped()
	d = startDaemon(t, home, nil)
	check("restarted", true)
	if out := room.want(0, stores("uninstall", "--retired"), old.Fingerprint(), "it is gone"); strings.Contains(out, next.Fingerprint()) {
		t.Errorf("takes out the one in use: %s", out)
	}
	check("without the old root", true)
	room.want(0, stores("uninstall"), next.Fingerprint(), "it is gone")
	check("uninstalled", false)
	room.want(0, stores("uninstall"), "nothing to do: it is not there")
	if out, _ := room.run("sh", "-c", "ls /etc/ssl/certs /usr/local/share/ca-certificates; certutil -L -d sql:"+database); strings.Contains(out, "injectproxy") {
		t.Errorf("left is\n%s", out)
	}
}

func TestStoreThatTakesRootIsLeftToTheUser(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	room := enterOtherRoom(t, home)
	permit, err := ca.ParsePermit([]string{"corp.example"})
	must(t, err)
	_, err = ca.Ensure(caDir(home), permit, nil)
	must(t, err)
	if out, status := room.run("mount", "-o", "remount,bind,ro", "/usr/local/share/ca-certificates"); status != 0 {
		t.Fatal(out)
	}
	room.want(exitFailed, []string{"ca", "install", "--store", "system"},
		"the store of Debian: it takes root, so this is for you to run:\n", "install -m 644 ", "error: 1 of 1 stores", "\nhint: ")
	if out, _ := room.run("sh", "-c", "ls /etc/ssl/certs"); strings.Contains(out, "injectproxy") {
		t.Errorf("left is\n%s", out)
	}
}

func TestRootThatSomethingElsePutThereIsSaidToBeThereStill(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	room := enterOtherRoom(t, home)
	permit, err := ca.ParsePermit([]string{"corp.example"})
	must(t, err)
	authority, err := ca.Ensure(caDir(home), permit, nil)
	must(t, err)
	other, err := ca.Ephemeral(permit, nil)
	must(t, err)
	shared := filepath.Join(home, "shared.crt")
	must(t, os.WriteFile(shared, append(authority.RootPEM(), other.RootPEM()...), 0o600))
	if out, status := room.run("sh", "-c", "cp "+shared+" /usr/local/share/ca-certificates/ && update-ca-certificates"); status != 0 {
		t.Fatal(out)
	}
	room.want(exitFailed, []string{"ca", "uninstall", "--store", "system"}, "still there: something else has put it there", "error: 1 of 1 stores")
	if out, status := room.run("ls", "/usr/local/share/ca-certificates/shared.crt"); status != 0 {
		t.Errorf("a file with other roots is gone: %s", out)
	}
}

// Debian hands new roots to Java by itself where its package for that is
// installed, but not their removal.
func TestJavaThatGetsItsRootsFromTheSystemIsNotGivenThemTwice(t *testing.T) {
	t.Parallel()
	thorough(t)
	home := t.TempDir()
	room := enterOtherRoom(t, home)
	const keyStore = "/etc/ssl/certs/java/cacerts"
	if _, err := os.Stat(keyStore); err != nil {
		absent(t, "no Java of Debian: %v", err)
	}
	permit, err := ca.ParsePermit([]string{"corp.example"})
	must(t, err)
	_, err = ca.Ensure(caDir(home), permit, nil)
	must(t, err)
	const hook = `#!/bin/sh
		while read -r line; do
			case $line in +*injectproxy-*) keytool -importcert -noprompt -keystore ` + keyStore + ` -storepass changeit \
				-alias "debian:${line##*/}" -file "${line#+}" </dev/null || exit ;; esac
		done`
	must(t, os.WriteFile(filepath.Join(room.hooks, "java"), []byte(hook), 0o700))
	aliases := func() int {
		out, _ := room.run("keytool", "-list", "-keystore", keyStore, "-storepass", "changeit")
		return strings.Count(out, "injectproxy-")
	}
	room.want(0, []string{"ca", "install", "--store", "java,system"}, "keytool -importcert", "Java in ", ": it is trusted now; restart what runs on it")
	if n := aliases(); n != 1 {
		t.Errorf("Java has it %d times", n)
	}
	room.want(0, []string{"ca", "uninstall", "--store", "java,system"}, "keytool -delete", ": it is gone; restart what runs on it")
	if n := aliases(); n != 0 {
		t.Errorf("Java still has it %d times", n)
	}
}
