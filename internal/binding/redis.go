package binding

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// mostWait is how long Redis may take to accept a connection, and for one answer. All
// of a question, with waiting for a connection and asking again, may take twice as
// long: then a request of a session is refused.
const mostWait = time.Second

// probeLife is how long a session of Ping's lives where it is not ended.
const probeLife = time.Minute

// RedisOptions say where replicas share their sessions. URL is required.
type RedisOptions struct {
	URL          string      // redis://[user[:password]@]host[:port][/number], or rediss for TLS
	PasswordFile string      // read for each connection; "": none, or the one in URL
	TLS          *tls.Config // towards rediss; nil trusts the system's roots
	Prefix       string      // of all keys: what the gates that share have in common, and no other
	Log          *slog.Logger

	wait time.Duration // 0: mostWait
}

// Redis is a Table in Redis, from version 5, or Valkey: all gates with the same
// Prefix share it, and it is there after they have ended. Make one with NewRedis.
//
// It is bounded for each owner as Memory is, and by Redis in all. One question is
// one script, and so nobody sees half of what another gate does. All keys have the
// same hash tag: in a cluster they are in one place. A node of a cluster that sends
// its clients elsewhere cannot be used.
//
// While Redis does not answer every method fails, and soon: see pulse.
type Redis struct {
	pool    pool
	scripts scripts
	prefix  string // of keys
	wait    time.Duration
	life    time.Duration
	most    int // sessions of one owner
	pulse   pulse
	over    context.Context // ends with Close
	end     context.CancelFunc
}

// NewRedis returns the Table. It asks nobody: a gate begins whether Redis answers
// or not. The error does not show the URL, which may have a password.
func NewRedis(o RedisOptions) (*Redis, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Redis{scripts: newScripts(), prefix: "injectproxy:{" + o.Prefix + "}:", wait: cmp.Or(o.wait, mostWait), life: mostUnused, most: mostOwned}
	r.pulse.log, r.pulse.pause = o.Log, pause
	r.over, r.end = context.WithCancel(context.Background())
	client, err := r.options(o)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	r.pulse.at = client.Addr
	r.pool.begin(client)
	return r, nil
}

// Close ends all connections, and what waits for one. Every method fails after it.
func (r *Redis) Close() error {
	r.end()
	return r.pool.close()
}

// Shared implements [Table].
func (*Redis) Shared() bool { return true }

// Up reports whether all was answered since Ping last succeeded; true before the
// first question.
func (r *Redis) Up() bool { return r.pulse.up() }

// Failures returns how many questions were not answered.
func (r *Redis) Failures() int64 { return r.pulse.failed() }

// Ping asks whether Redis does all that is asked for sessions: it begins and ends one
// that nobody has. What the error says may be shown.
func (r *Redis) Ping(ctx context.Context) error {
	probe := Binding{Upstream: "probe"}
	value, err := probe.value()
	if err != nil {
		return err
	}
	const none = 0 // of its owner's sessions may stay
	begin := asking(r.scripts.bind, []string{r.prefix + "probe"}, r.prefix+"probe:", probeLife.Milliseconds(), value, probe.Owner.name(), none)
	_, err = r.ask(ctx, true, func(ctx context.Context, c *redis.Client) (any, error) {
		said, err := begin(ctx, c)
		if err == nil && said != value {
			err = refused("WRONGTYPE")
		}
		return said, err
	})
	return err
}

// Find implements [Table].
func (r *Redis) Find(ctx context.Context, keys ...Key) ([]Binding, error) {
	found := make([]Binding, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	said, err := r.run(ctx, r.scripts.find, r.names(keys), r.owners(), r.life.Milliseconds())
	if err != nil {
		return nil, err
	}
	values, _ := said.([]any)
	if len(values) != len(keys) {
		return nil, errForeign
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		if found[i], err = bindingOf(v); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Bind implements [Table].
func (r *Redis) Bind(ctx context.Context, k Key, b Binding) (Binding, error) {
	value, err := b.value()
	if err != nil {
		return Binding{}, err
	}
	said, err := r.run(ctx, r.scripts.bind, r.names([]Key{k}), r.owners(), r.life.Milliseconds(), value, b.Owner.name(), r.most)
	if err != nil {
		return Binding{}, err
	}
	return bindingOf(said)
}

// Forget implements [Table].
func (r *Redis) Forget(ctx context.Context, keys ...Key) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := r.run(ctx, r.scripts.forget, r.names(keys), r.owners())
	return err
}

func (r *Redis) run(ctx context.Context, s *redis.Script, keys []string, args ...any) (any, error) {
	return r.ask(ctx, false, asking(s, keys, args...))
}

func asking(s *redis.Script, keys []string, args ...any) question {
	return func(ctx context.Context, c *redis.Client) (any, error) { return s.Run(ctx, c, keys, args...).Result() }
}

// question is put to Redis by a connection of c.
type question func(ctx context.Context, c *redis.Client) (any, error)

// ask puts one question, unless there has just been no answer to another; whole is
// that it is all that is asked for sessions.
func (r *Redis) ask(ctx context.Context, whole bool, q question) (any, error) {
	turn, err := r.pulse.enter()
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, 2*r.wait)
	defer cancel()
	said, err := r.put(ctx, bounded, q)
	if err != nil && ctx.Err() != nil {
		r.pulse.leave(turn) // who asked has left, which says nothing of Redis
		return nil, ctx.Err()
	}
	err = explained(err)
	r.pulse.beat(turn, whole, err)
	return said, err
}

// put puts q, and once more on another connection where the first has led nowhere:
// all that is asked gets the same answer then. All that there were are given up with
// it, for they are likely to lead there, too, and each would have to be found out.
func (r *Redis) put(asker, bounded context.Context, q question) (any, error) {
	for again := false; ; again = true {
		c := r.current()
		said, err := q(bounded, c)
		if !ledNowhere(err) || asker.Err() != nil {
			return said, err
		}
		r.pool.renew(c)
		if again || bounded.Err() != nil {
			return said, err
		}
	}
}

// current is where connections are taken from now.
func (r *Redis) current() *redis.Client { return r.pool.current() }

// explained is err in words for who runs the gate.
func explained(err error) error {
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	}
	if known, ok := errors.AsType[refused](err); ok {
		return known
	}
	if answer, ok := errors.AsType[redis.Error](err); ok {
		return refusedOf(answer)
	}
	return err
}
