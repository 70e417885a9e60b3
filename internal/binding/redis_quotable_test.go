package binding

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestWhatRedisRepeatsIsNotToldOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ERR unknown command 'AUTH', with args beginning with: 'gate' 'hunter2' ": "ERR unknown command",
		"ERR unknown command `HELLO`, with args beginning with: `3`, `hunter2`":   "ERR unknown command",
		`ERR unknown command "hunter2"`:                                           "ERR unknown command",
		"ERR no such command with args hunter2":                                   "ERR no such command",
		"ERR unknown: AUTH hunter2":                                               "ERR unknown",
		"WRONGPASS invalid username-password pair or user is disabled.":           "WRONGPASS invalid username-password pair or user is disabled.",
		"READONLY You can't write against a read only replica.":                   "READONLY You can't write against a read only replica.",
		"OOM command not allowed when used memory > 'maxmemory'.":                 "OOM command not allowed when used memory >",
	} {
		for _, err := range []error{refusal(text), fmt.Errorf("hunter2: %w", refusal(text))} {
			got := explained(err)
			if _, ok := got.(redis.Error); !ok || got.Error() != want {
				t.Errorf("%q is told as %q, want %q", text, got, want)
			}
		}
	}
	if explained(redis.Nil) != redis.Nil {
		t.Error("that there is nothing is no refusal")
	}
}
