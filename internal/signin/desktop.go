package signin

import (
	"context"
	"os"
	"os/exec"
	"time"
)

// showLimit bounds one notification of the desktop: there are notification
// services that never answer. PowerShell may take seconds to start.
const showLimit = 10 * time.Second

// Desktop returns what shows a notification on the desktop of who runs the
// proxy, in at most 10 s: through D-Bus (Desktop Notifications Specification
// 1.2), on macOS by osascript, on Windows as a toast by PowerShell. It is nil
// if there is no desktop that one can tell of. What goes wrong is not reported: a
// notification never is all that says what it says.
func Desktop() func(title, message string) {
	show := desktop(os.Getenv)
	if show == nil {
		return nil
	}
	return func(title, message string) {
		ctx, cancel := context.WithTimeout(context.Background(), showLimit)
		defer cancel()
		_ = show(ctx, clean(title), clean(message))
	}
}

// program returns the command argv, for systems where a program shows the
// notification. Of the environment it gets what kept names and extra: what
// the proxy was started with may be secrets.
func program(ctx context.Context, kept, extra []string, argv ...string) *exec.Cmd {
	// #nosec G204 -- argv is ours, there is no shell
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{}, extra...) // not nil: that means all
	for _, name := range kept {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.WaitDelay = time.Second
	return cmd
}
