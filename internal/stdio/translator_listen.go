package stdio

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// mostAgreeing is how long a server may take to say to what it agrees.
const mostAgreeing = 30 * time.Second

// subscription is the stream of one subscriptions/listen.
type subscription struct {
	uris    []string
	close   context.CancelFunc
	agreed  chan struct{} // closed when the server has said to what
	honored honored
	over    chan struct{} // closed when it has ended
	err     error         // then; nil if the server has ended it
}

// run keeps a stream open on which the server tells what the client wants to be
// told, until ctx ends. One that is to tell more is opened before the last is closed.
func (x *changes) run(ctx context.Context) {
	x.once.Do(func() { close(x.begun) })
	ctx, stop := context.WithCancel(ctx)
	defer x.streams.Wait()
	defer stop()
	k := keeper{x: x}
	for ctx.Err() == nil {
		uris, waiting := x.wanted()
		k.waiting = append(k.waiting, waiting...)
		if len(x.lists)+len(uris) == 0 {
			k.replace(nil)
			x.agree(k.waiting, nil)
			k.waiting = nil
		} else if again := k.open(ctx, uris); again {
			continue
		}
		k.rest(ctx)
	}
	x.refuse(k.waiting, errEnding)
}

// keeper keeps the stream that is open now.
type keeper struct {
	x       *changes
	now     *subscription // nil: none
	waiting []*subscriber
	lost    bool // a stream has ended that should not have
	pace    pace
}

// open opens a stream in place of the last. It reports whether that is to be
// tried again at once.
func (k *keeper) open(ctx context.Context, uris []string) (again bool) {
	s := k.x.open(ctx, uris)
	late := time.NewTimer(mostAgreeing)
	defer late.Stop()
	select {
	case <-s.agreed:
	case <-s.over:
	case <-late.C:
		s.close()
		<-s.over
	case <-k.x.wake: // it would tell too little
		s.close()
		return true
	case <-ctx.Done():
		s.close()
		return false
	}
	if !isClosed(s.agreed) {
		return k.failed(ctx, s.err)
	}
	k.replace(s)
	k.pace.well()
	k.x.agree(k.waiting, s.honored.URIs)
	k.waiting = nil
	if k.lost {
		k.lost = false
		k.x.again(s.honored)
	}
	return false
}

// failed says what follows of a stream that the server has not agreed to:
// whether another try makes sense, after a while.
func (k *keeper) failed(ctx context.Context, err error) (again bool) {
	if refusedForGood(err) {
		k.x.t.e.o.Log.Debug("the server refuses to tell of changes")
		k.x.refuse(k.waiting, err)
		k.waiting = nil
		return false
	}
	k.lost = k.lost || k.now == nil
	k.pace.failed(retryOf(err))
	return pause(ctx, k.pace.wait())
}

// refusedForGood reports whether err is the server's own and will be the same again.
func refusedForGood(err error) bool {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status/100 == 4 && r.status != http.StatusRequestTimeout && r.status != http.StatusTooEarly && r.status != http.StatusTooManyRequests
	}
	f, ok := errors.AsType[*failure](err)
	return ok && f.code != 0 && f.code != codeOurs
}

func retryOf(err error) (after time.Duration) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.retryAfter
	}
	return 0
}

// replace closes the stream that is open, for another.
func (k *keeper) replace(s *subscription) {
	if k.now != nil {
		k.now.close()
	}
	k.now = s
}

// rest waits until there is something to do.
func (k *keeper) rest(ctx context.Context) {
	var over <-chan struct{}
	if k.now != nil {
		over = k.now.over
	}
	select {
	case <-ctx.Done():
	case <-k.x.wake:
	case <-over:
		empty := k.now.empty()
		k.replace(nil)
		if empty { // it had nothing to tell
			k.rest(ctx)
			return
		}
		k.lost = true
		k.pace.failed(retryOf(nil))
		pause(ctx, k.pace.wait())
	}
}

// empty reports whether the server has agreed to nothing.
func (s *subscription) empty() bool {
	return !s.honored.Tools && !s.honored.Prompts && !s.honored.Resources && len(s.honored.URIs) == 0
}

// open begins a stream.
func (x *changes) open(ctx context.Context, uris []string) *subscription {
	ctx, cancel := context.WithCancel(ctx)
	s := &subscription{uris: uris, close: cancel, agreed: make(chan struct{}), over: make(chan struct{})}
	e := x.t.e
	d := &errand{finish: s.finish, other: s.heard(e)}
	x.streams.Go(func() {
		defer close(s.over)
		defer cancel()
		err := e.send(ctx, requestOf(e.newID(), "subscriptions/listen", x.params(uris)), d)
		if s.err == nil {
			s.err = err
		}
	})
	return s
}

// finish takes the response, which says that there will be nothing more.
func (s *subscription) finish(m jsonrpc.Message, raw []byte) error {
	if m.Result != nil {
		return nil
	}
	said := errorOf(raw) // one that cannot be read is an error all the same
	s.err = &failure{code: cmp.Or(said.code, codeInternal), line: "the server does not take the subscription: " + said.message}
	return nil
}

// heard passes on what the server tells on the stream, but for what concerns the
// stream itself.
func (s *subscription) heard(e *eras) func(jsonrpc.Message, []byte) error {
	var once sync.Once
	return func(m jsonrpc.Message, raw []byte) error {
		switch {
		case m.Kind != jsonrpc.Notification:
			return nil
		case m.Method != "notifications/subscriptions/acknowledged":
			return e.out(raw, nil)
		}
		once.Do(func() {
			s.honored = honoredIn(m.Params)
			close(s.agreed)
		})
		return nil
	}
}
