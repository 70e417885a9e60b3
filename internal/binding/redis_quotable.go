package binding

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// refused is an answer of Redis that is an error, by the word for its kind, in words
// of ours. Its own are not told on: what does not know a command repeats its
// arguments, among which the password may be.
type refused string

// Error implements error.
func (r refused) Error() string {
	if what := r.meaning(); what != "" {
		return string(r) + ": " + what
	}
	return "it answers " + string(r)
}

// RedisError implements [redis.Error].
func (refused) RedisError() {}

// refusedOf returns what may be told of err.
func refusedOf(err redis.Error) refused {
	said := err.Error()
	word, _, _ := strings.Cut(said, " ")
	if strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || word == "" || len(word) > 16 {
		return "an error of a kind that is not known"
	}
	if word == "ERR" {
		return kindOf(said)
	}
	return refused(word)
}

// kindOf is the kind of what has none of its own in every version.
func kindOf(said string) refused {
	for _, k := range [][2]string{
		{"unknown command", "UNKNOWN"}, {"max number of clients", "MAXCLIENTS"}, {"DB index", "DB"}, {"invalid password", "WRONGPASS"},
		{"AUTH, but no password is set", "NOPASSWORD"}, {"without any password configured", "NOPASSWORD"},
		{"The user executing the script can't run", "NOPERM"}, {"ACL failure in script", "NOPERM"},
		{"-OOM ", "OOM"}, {"-READONLY ", "READONLY"}, {"-MISCONF ", "MISCONF"}, {"-NOREPLICAS ", "NOREPLICAS"}, {"WRONGTYPE ", "WRONGTYPE"}, // within a script, before version 7
	} {
		if strings.Contains(said, k[0]) {
			return refused(k[1])
		}
	}
	return "ERR"
}

// meaning says what is wrong, and what helps.
func (r refused) meaning() string {
	switch r {
	case "NOAUTH":
		return "it asks for a password: password_file"
	case "WRONGPASS":
		return "it does not take the password, or the user that the URL names"
	case "NOPASSWORD":
		return "it has no password for this user, and is shown one"
	case "NOPERM":
		return "its access control list does not let the gate's user run the commands of its scripts, or on its keys"
	case "READONLY":
		return "it is a replica that nobody may write to: the URL has to lead to the primary"
	case "OOM":
		return "its memory is full: maxmemory"
	case "LOADING":
		return "it has just begun, and reads what it had kept"
	case "MISCONF":
		return "it cannot write to its disk, and takes nothing until then: its own log says why"
	case "NOREPLICAS":
		return "fewer replicas are connected to it than it wants for a write: min-replicas-to-write"
	case "MASTERDOWN":
		return "it is a replica that has lost its primary"
	case "MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN":
		return "it is one of several nodes of a cluster: use a proxy in front of them, or one that is none"
	case "BUSY":
		return "somebody's script runs for too long"
	case "MAXCLIENTS":
		return "it has as many clients as it takes: maxclients"
	case "UNKNOWN", "NOSCRIPT":
		return "it does not know EVAL and EVALSHA, or a command of the gate's scripts: Redis from version 5, or Valkey, is needed"
	case "DB":
		return "it has no database of that number: the path of the URL"
	case "WRONGTYPE":
		return "something else writes under the keys of the gate"
	}
	return ""
}

// ofTheQuestion reports whether err is an answer of a Redis that may answer other
// questions well.
func ofTheQuestion(err error) bool {
	r, _ := err.(refused)
	switch r {
	case "WRONGTYPE", "OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOPERM":
		return true
	}
	return false
}
