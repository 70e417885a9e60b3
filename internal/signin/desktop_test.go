package signin

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// What shows a notification learns nothing of what the proxy was started with.
func TestProgramThatShowsANotificationGetsNoSecrets(t *testing.T) {
	env, err := exec.LookPath("env")
	if err != nil {
		t.Skip("this system has no env") // Windows
	}
	t.Setenv("MCP_TOKEN", canary)
	t.Setenv("HOME", "/home/x")
	os.Unsetenv("LANG")
	for _, tt := range []struct{ kept, extra, want []string }{
		{nil, nil, nil},
		{[]string{"HOME", "LANG"}, []string{"TOAST_TITLE=x"}, []string{"TOAST_TITLE=x", "HOME=/home/x"}},
	} {
		out, err := program(t.Context(), tt.kept, tt.extra, env).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(string(out)); !slices.Equal(got, tt.want) {
			t.Errorf("its environment is %q, want %q", got, tt.want)
		}
	}
}

func TestProgramThatShowsANotificationIsKilledInTime(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("this system has no sleep") // Windows
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := program(ctx, nil, nil, sleep, "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended by itself")
		}
	case <-time.After(time.Minute):
		t.Fatal("it was not killed")
	}
}
