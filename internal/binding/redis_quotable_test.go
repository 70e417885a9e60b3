package binding

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestWhatRedisRepeatsIsNotToldOn holds whatever it says: of its words no more is told
// than the first, if that is one for a kind of error.
func TestWhatRedisRepeatsIsNotToldOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ERR unknown command 'AUTH', with args beginning with: 'gate' 'hunter2' ": "UNKNOWN: it does not know EVAL",
		"ERR unknown command `HELLO`, with args beginning with: `3`, `hunter2`":   "UNKNOWN: it does not know EVAL",
		"ERR no such command with args hunter2":                                   "it answers ERR",
		"ERR wrong command auth hunter2":                                          "it answers ERR",
		"ERR denied (auth hunter2)":                                               "it answers ERR",
		"WRONGPASS hunter2":                                                       "WRONGPASS: it does not take the password, or the user that the URL names",
		"hunter2":                                                                 "it answers an error of a kind that is not known",
		"HUNTER2 is no password":                                                  "it answers an error of a kind that is not known",
		"":                                                                        "it answers an error of a kind that is not known",
		"SOMETHING else with hunter2":                                             "it answers SOMETHING",
		"NOAUTH Authentication required.":                                         "NOAUTH: it asks for a password",
		"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?": "NOPASSWORD: it has no password",
		"ERR Client sent AUTH, but no password is set": "NOPASSWORD: ", "ERR invalid password": "WRONGPASS: ",
		"READONLY You can't write against a read only replica. script: 9ff8, on @user_script:1.":                           "READONLY: it is a replica",
		"ERR Error running script (call to f_9f): @user_script:20: -READONLY You can't write against a read only replica.": "READONLY: it is a replica",
		"OOM command not allowed when used memory > 'maxmemory'. script: 9ff8, on @user_script:1.":                         "OOM: its memory is full",
		"NOPERM this user has no permissions to run the 'evalsha' command":                                                 "NOPERM: its access control list",
		"ERR The user executing the script can't run this command or subcommand script: 9ff8, on @user_script:1.":          "NOPERM: its access control list",
		"NOSCRIPT No matching script. Please use EVAL.":                                                                    "NOSCRIPT: it does not know EVAL",
		"ERR max number of clients reached":                                                                                "MAXCLIENTS: ",
		"ERR DB index is out of range":                                                                                     "DB: it has no database",
		"LOADING Redis is loading the dataset in memory":                                                                   "LOADING: ",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":                           "BUSY: ",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.":                 "MISCONF: ",
		"NOREPLICAS Not enough good replicas to write.":                                                                    "NOREPLICAS: ",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":                                 "MASTERDOWN: ",
		"ERR Error running script: @user_script:3: WRONGTYPE Operation against a key holding the wrong kind of value":      "WRONGTYPE: something else",
		"MOVED 5 hunter2:6379": "MOVED: it is one of several nodes", "ASK 5 hunter2:6379": "ASK: it is one of several nodes", "CLUSTERDOWN hunter2": "CLUSTERDOWN: it is one of several nodes",
	} {
		for _, err := range []error{refusal(text), fmt.Errorf("hunter2: %w", refusal(text))} {
			got := explained(err)
			if _, ok := got.(redis.Error); !ok || !strings.HasPrefix(got.Error(), want) || strings.Contains(strings.ToLower(got.Error()), "hunter2") || strings.HasPrefix(want, "it answers") && got.Error() != want {
				t.Errorf("%q is told as %q, want %q", text, got, want)
			}
		}
	}
	if explained(redis.Nil) != redis.Nil {
		t.Error("that there is nothing is no refusal")
	}
}
