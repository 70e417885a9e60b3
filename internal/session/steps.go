package session

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
)

// replace begins another session upstream and puts it in the state of the lost
// one. Beside an error it returns a session that nobody uses, if there is one.
func (t *transport) replace(ctx context.Context, s *session, trigger *http.Request) (upstream, error) {
	s.mu.Lock()
	version, sets := s.version, s.replay.messages()
	s.mu.Unlock()
	fresh, err := t.initialize(ctx, trigger, s.params)
	if err != nil {
		return fresh, err
	}
	if fresh.version != version {
		return fresh, errOther
	}
	at := view{id: fresh.id, version: version}
	err = t.steady(ctx, func() error {
		return t.tell(ctx, trigger, at, message{method: "notifications/initialized"})
	})
	if err != nil {
		return fresh, err
	}
	return fresh, t.restore(ctx, trigger, at, sets)
}

// mostAtOnce is how many settings are restored at the same time.
const mostAtOnce = 8

// restore sets what the client had set. What the server does not take is left
// out, unless that means that this session is lost, too.
func (t *transport) restore(ctx context.Context, trigger *http.Request, at view, sets []message) error {
	var all sync.WaitGroup
	var lost atomic.Bool
	turns := make(chan struct{}, mostAtOnce)
	for _, m := range sets {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			refused, err := t.ask(ctx, trigger, at, m)
			if refused != "" {
				lost.Store(true)
			}
			if err != nil {
				t.o.Log.WarnContext(ctx, "a lost session had a setting that the server does not take again", "method", m.method, "target", target(trigger), "reason", reason(err))
			}
		})
	}
	all.Wait()
	if lost.Load() {
		return &failure{reason: "refused"}
	}
	return nil
}

// initialize begins a session with what the client had sent to begin its own.
func (t *transport) initialize(ctx context.Context, trigger *http.Request, params json.RawMessage) (u upstream, err error) {
	err = t.steady(ctx, func() error {
		if u.id != "" { // of an answer that broke off
			t.discardBeside(trigger, view{id: u.id})
		}
		u, err = t.negotiate(ctx, trigger, params)
		return err
	})
	return u, err
}

// negotiate is one try of initialize.
func (t *transport) negotiate(ctx context.Context, trigger *http.Request, params json.RawMessage) (upstream, error) {
	id := newID()
	res, err := t.post(ctx, trigger, view{}, message{"initialize", params}.encode(id))
	if err != nil {
		return upstream{}, t.failed(ctx, err)
	}
	defer res.Body.Close()
	given, _ := sessionID(res.Header)
	if res.StatusCode != http.StatusOK {
		return upstream{}, &failure{reason: "refused"}
	}
	m, err := response(res, id)
	if err != nil {
		return upstream{id: given}, t.failed(ctx, err)
	}
	u, ok := negotiated(m)
	u.id = given
	if !ok && u.version == "" {
		return u, &failure{reason: "refused"}
	}
	return u, nil
}
