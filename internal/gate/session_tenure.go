package gate

import (
	"context"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// tenureEvery is how often the session of a stream is noted again for as long as
// that is held open.
const tenureEvery = 10 * time.Second

// tenure keeps a session noted where gates share that. What they share may be lost,
// or forget what has not been used for long, while the stream is still open at its
// server: its client, which hears nothing of that, could send no more messages.
type tenure struct {
	again func() error // that it is another's
	cut   func(error)

	mu    sync.Mutex // held while it works, so that stop waits for it
	timer *time.Timer
	over  bool
}

// holding begins the tenure of the session that the answer to x has begun, which the
// caller has. Cut is called once at the most, if another has it.
func (g *Gate) holding(x *exchange, key binding.Key, cut func(error)) *tenure {
	ctx, b := context.WithoutCancel(x.r.Context()), binding.Binding{Owner: ownerOf(x.caller), Upstream: x.upstream.url.String()}
	t := &tenure{cut: cut, again: func() error {
		got, err := g.renewed(ctx, key, b)
		switch {
		case err != nil:
			return nil // whose it is will be known again
		case b.Owner == binding.Owner{}:
			b.Owner = got.Owner // who began it without a token may have signed in
		case got.Owner != b.Owner:
			g.o.Log.Error("a session of a stream that is open has become another caller's", "route", x.route.Path, "upstream", x.upstream.url.Host)
			return errShared
		}
		return nil
	}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(tenureEvery, t.renew)
	return t
}

// renewed returns who has a session, b if nobody knows it any more.
func (g *Gate) renewed(ctx context.Context, key binding.Key, b binding.Binding) (binding.Binding, error) {
	known, err := g.sessions.Find(ctx, key)
	switch {
	case err != nil:
		return binding.Binding{}, err
	case known[0].Known():
		return known[0], nil
	}
	return g.sessions.Bind(ctx, key, b)
}

func (t *tenure) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if err := t.again(); err != nil {
		t.over = true
		t.cut(err)
		return
	}
	t.timer.Reset(tenureEvery)
}

// stop ends the tenure, behind which nothing is noted. It is false if the session
// has become another's before.
func (t *tenure) stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := !t.over
	t.over = true
	t.timer.Stop()
	return held
}
