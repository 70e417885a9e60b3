//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// installed returns a path of the real program, as deployments name it.
func installed(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	program := filepath.Join(t.TempDir(), "injectproxy") // TestMain goes by this name
	must(t, os.Symlink(exe, program))
	return program
}

func TestLaunchAgentRunsServeAndLeavesNoShell(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
	must(t, os.MkdirAll(filepath.Join(home, "Library", "Logs"), 0o700))
	var args []string
	for _, a := range agentFile(t)["ProgramArguments"].([]any) {
		args = append(args, strings.Replace(a.(string), "/usr/local/bin/injectproxy", installed(t), 1))
	}
	cmd := command(t, context.Background(), home, nil)
	cmd.Path, cmd.Args = args[0], args
	cmd.WaitDelay = guard // a serve that is left behind has our pipe
	log := filepath.Join(home, "Library", "Logs", "injectproxy.log")
	must(t, syscall.Mkfifo(log, 0o600)) // it can be waited for
	d := spawn(t, home, cmd)
	f, err := os.Open(log)
	must(t, err)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(d.log, f)
	}()
	t.Cleanup(func() { f.Close(); <-copied })
	d.listening()
	d.signal(syscall.SIGTERM) // to the process that launchd started
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	if _, err := exec.LookPath("plutil"); err == nil {
		if out, err := exec.Command("plutil", "-lint", agent).CombinedOutput(); err != nil {
			t.Errorf("plutil: %s", out)
		}
	}
}

func TestImageRunsServeForOtherMachines(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{top: "# listen is the default\nlisten = \"127.0.0.1:8877\"\n", tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
	args := imageCommand(t)[1:]
	at := slices.Index(args, ":8877")
	if at < 0 {
		t.Fatalf("the image does not listen for others: %q", args)
	}
	args[at] = ":" + freePort(t)
	d := spawn(t, home, command(t, context.Background(), home, nil, args...))
	d.listening()
	if d.addr != "[::]"+args[at] && d.addr != "0.0.0.0"+args[at] {
		t.Errorf("it listens on %s", d.addr)
	}
}
