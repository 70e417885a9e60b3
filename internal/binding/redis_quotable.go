package binding

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// quotable is what Redis has answered in place of what was asked for, without what
// it may repeat of that. What does not know a command quotes its arguments, among
// which the password may be.
type quotable string

// quotableOf returns what may be told of err: what stands before all that it quotes
// or adds, which begins with a word for its kind.
func quotableOf(err redis.Error) quotable {
	said := err.Error()
	for _, mark := range []string{`"`, "`", " '", ",", ":", " with args"} {
		said, _, _ = strings.Cut(said, mark)
	}
	return quotable(strings.TrimSpace(said))
}

// Error implements error.
func (q quotable) Error() string { return string(q) }

// RedisError implements [redis.Error].
func (quotable) RedisError() {}
