package signin

import "context"

// desktop returns what shows a notification by osascript. The texts are
// arguments of the script, so that nothing in them is read as a part of it.
func desktop(func(string) string) func(ctx context.Context, title, message string) error {
	return func(ctx context.Context, title, message string) error {
		return program(ctx, []string{"HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "__CF_USER_TEXT_ENCODING"}, nil,
			"/usr/bin/osascript",
			"-e", "on run argv",
			"-e", "display notification (item 2 of argv) with title (item 1 of argv)",
			"-e", "end run",
			"injectproxy: "+title, message).Run()
	}
}
