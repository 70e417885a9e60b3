package binding

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

var errNoAnswer = errors.New("no answer")

// refusal is an answer of Redis that is an error.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

func TestRedisThatDoesNotAnswerIsLeftAloneForAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pulse{log: slog.New(slog.DiscardHandler), pause: pause}
		var last turn
		enters := func(want bool, when string) {
			t.Helper()
			var err error
			if last, err = p.enter(); (err == nil) != want || err != nil && !errors.Is(err, errNoAnswer) {
				t.Errorf("%s: %v", when, err)
			}
		}
		enters(true, "at first")
		enters(true, "beside another")
		before := last
		p.beat(last, true, errNoAnswer)
		enters(false, "at once")
		time.Sleep(pause - time.Millisecond)
		enters(false, "too early")
		time.Sleep(time.Millisecond)
		enters(true, "one, after the pause")
		one := last
		enters(false, "beside the one")
		p.leave(before)
		enters(false, "when one leaves who had asked before")
		time.Sleep(time.Hour)
		enters(false, "while the one waits")
		p.leave(one)
		enters(true, "another, for the one that left")
		p.beat(last, true, errNoAnswer)
		enters(false, "after it failed again")
		time.Sleep(pause)
		enters(true, "one")
		if p.up() || p.failed() != 2 {
			t.Errorf("up: %v, %d failures", p.up(), p.failed())
		}
		p.beat(last, false, nil)
		enters(true, "all")
		enters(true, "again")
		if p.up() {
			t.Error("one answer is taken for all being well")
		}
		p.beat(last, true, nil)
		if !p.up() || p.failed() != 2 {
			t.Errorf("up: %v, %d failures", p.up(), p.failed())
		}
	})
}

// TestAnswerToOneQuestionDoesNotStopOthers holds for a Redis that is full, or that
// something else writes to.
func TestAnswerToOneQuestionDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	for said, stops := range map[error]bool{
		refusal("OOM command not allowed when used memory > 'maxmemory'."):                     false,
		refusal("WRONGTYPE Operation against a key holding the wrong kind of value"):           false,
		refusal("ERR Error running script: @user_script:3: WRONGTYPE Operation against a key"): false,
		refusal("READONLY You can't write against a read only replica."):                       false,
		refusal("NOPERM this user has no permissions to run the 'evalsha' command"):            false,
		refusal("NOAUTH Authentication required."):                                             true,
		refusal("ERR max number of clients reached"):                                           true,
		errors.New("read OOM"): true,
	} {
		p := &pulse{log: slog.New(slog.DiscardHandler), pause: time.Hour}
		p.beat(!alone, false, explained(said))
		if _, err := p.enter(); (err != nil) != stops || p.up() || p.failed() != 1 {
			t.Errorf("%v stops others: %v; up: %v", said, !stops, p.up())
		}
	}
}

func TestLogHearsOfRedisOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := &pulse{log: slog.New(slog.NewTextHandler(&log, nil)), at: "host:1", pause: pause}
		told := func(want ...string) {
			t.Helper()
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			log.Reset()
			if len(want) == 0 && lines[0] != "" || len(want) > 0 && len(lines) != len(want) {
				t.Fatalf("it says %q", lines)
			}
			for i, w := range want {
				if !strings.Contains(lines[i], w) {
					t.Errorf("it says %q, want %q", lines[i], w)
				}
			}
		}
		p.beat(!alone, true, nil)
		told()
		for range 1000 {
			p.beat(!alone, true, errNoAnswer)
		}
		told(`level=WARN msg="sessions cannot be looked up in Redis: their requests are refused" redis=host:1 error="no answer"`)
		time.Sleep(tellPause)
		p.beat(!alone, true, errNoAnswer)
		told("failures=1001")
		time.Sleep(time.Second)
		p.beat(!alone, true, nil)
		p.beat(!alone, true, nil)
		told("level=INFO msg=\"Redis answers again\" after=11s")
		time.Sleep(tellPause)
		p.beat(!alone, false, refused("OOM"))
		p.beat(!alone, false, nil)
		told(`level=WARN msg="Redis refuses what is asked for sessions: some cannot be looked up, or begun" redis=host:1 error="OOM: its memory is full: maxmemory"`)
		p.beat(!alone, true, nil)
		told("after=0s")
		p.beat(!alone, true, errNoAnswer)
		p.beat(!alone, true, nil)
		told() // so soon
		time.Sleep(tellPause)
		p.beat(!alone, true, errNoAnswer)
		p.beat(!alone, true, nil)
		told("level=WARN", "after=0s")
	})
}

// TestOneAsksARedisThatDoesNotAnswer holds for a table, and that who waits too long
// is told so.
func TestOneAsksARedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRedis(RedisOptions{URL: "redis://nobody.example"})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		hangs := func(ctx context.Context, _ *redis.Client) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
		begun := time.Now()
		if _, err := r.ask(t.Context(), true, hangs); err == nil || !strings.Contains(err.Error(), "no answer in time") || time.Since(begun) != 2*mostWait {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		begun = time.Now()
		if _, err := r.ask(t.Context(), true, hangs); err == nil || time.Since(begun) != 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		time.Sleep(pause)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.ask(ctx, true, hangs); !errors.Is(err, context.DeadlineExceeded) || r.Failures() != 1 {
			t.Errorf("who leaves: %v, %d failures", err, r.Failures())
		}
		if _, err := r.ask(t.Context(), true, func(context.Context, *redis.Client) (any, error) { return "well", nil }); err != nil || !r.Up() {
			t.Errorf("%v", err)
		}
		ctx, leave := context.WithCancel(t.Context())
		if said, err := r.ask(ctx, true, func(context.Context, *redis.Client) (any, error) { leave(); return "well", nil }); said != "well" || err != nil {
			t.Errorf("who leaves with the answer: %v, %v", said, err)
		}
	})
}
