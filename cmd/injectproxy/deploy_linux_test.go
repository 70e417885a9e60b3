package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// copyUnits returns the unit files of one kind, with a program that is here in
// place of the one they start.
func copyUnits(t *testing.T, kind string) (files []string) {
	t.Helper()
	dir := t.TempDir()
	names := []string{"injectproxy.socket", "injectproxy.service"}
	if kind == "system" {
		names = append(names, "injectproxy-gate.service")
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(deploy, "systemd", kind, name))
		must(t, err)
		start, _, _ := strings.Cut(unitFile(t, kind+"/injectproxy.service")["Service.ExecStart"][0], " ")
		file := filepath.Join(dir, name)
		writeTestFile(t, file, strings.Replace(string(b), start, installed(t), 1))
		files = append(files, file)
	}
	return files
}

// analyze returns what systemd-analyze has to say, and whether it is content.
func analyze(t *testing.T, kind string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		absent(t, "systemd-analyze is not here: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"--" + kind}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestSystemdHasNothingAgainstTheUnits(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"user", "system"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			out, err := analyze(t, kind, append([]string{"verify", "--man=no", "--recursive-errors=no"}, copyUnits(t, kind)...)...)
			// An unknown key is no error to it, and it may have something against units of this machine.
			if strings.Contains(out, "injectproxy.") || strings.Contains(out, "injectproxy-gate.") || err != nil {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}

// The number is systemd's own: 0 is a service that can do nothing, 100 one that
// may do everything.
func TestSystemUnitIsConfined(t *testing.T) {
	t.Parallel()
	for _, unit := range copyUnits(t, "system")[1:] {
		out, err := analyze(t, "system", "security", "--offline=yes", "--no-pager", "--threshold=20", unit)
		if err != nil {
			t.Errorf("systemd-analyze security %s: %v\n%s", unit, err, out)
		}
	}
}

// What the units start is started here as systemd would: with the socket, and
// with somebody who waits for READY=1.
func TestUnitsStartServe(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"user", "system"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			settings{tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
			name, next := notifySocket(t)
			socket := listenTCP(t, "127.0.0.1:0")
			start := strings.Fields(unitFile(t, kind+"/injectproxy.service")["Service.ExecStart"][0])
			spawn(t, home, handedOver(t, home, []string{"NOTIFY_SOCKET=" + name}, start[1:], socket))
			if told := next(); told[0] != "READY=1" {
				t.Errorf("systemd is told %q", told)
			}
		})
	}
}
