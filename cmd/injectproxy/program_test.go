package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// command returns the real program's command with its home and nothing of our
// environment that it goes by. It is killed when the context ends.
func command(t testing.TB, ctx context.Context, home string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Args[0] = "injectproxy" // TestMain goes by it
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "INJECTPROXY_HOME=" + home, "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

// runToEnd returns what the real program prints, and its exit status.
func runToEnd(t testing.TB, home string, env []string, args ...string) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	cmd := command(t, ctx, home, env, args...)
	out, _ := cmd.CombinedOutput() // the status says it
	return string(out), cmd.ProcessState.ExitCode()
}
