package gate

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// lastWord is how long a connection over HTTP/1 has rested before a shutdown
	// closes it. The client may have sent the next request behind an answer that did
	// not ask it to leave, and nobody would know whether it was carried out.
	lastWord = 250 * time.Millisecond
	// firstWord is how long one may have said nothing at all, its TLS handshake
	// included: net/http has the same.
	firstWord = 5 * time.Second
	// lookForRest is how often a shutdown looks for connections that rest.
	lookForRest = 20 * time.Millisecond
)

// visits are the connections of clients. http.Server knows them, too, but drops the
// requests that come over HTTP/1 once its Shutdown has begun: also those that were
// under way. The zero value is ready, and may be used concurrently.
type visits struct {
	all sync.Map // net.Conn → *visit
}

// visit is one connection.
type visit struct {
	mu    sync.Mutex
	begun bool      // something came
	http1 bool      // a request over HTTP/1 came
	busy  bool      // one is under way
	since time.Time // when that became so
}

// visitKey is where the context of a request has its *visit.
type visitKey struct{}

// open takes c, as [http.Server].ConnContext.
func (v *visits) open(ctx context.Context, c net.Conn) context.Context {
	one := &visit{since: time.Now()}
	v.all.Store(c, one)
	return context.WithValue(ctx, visitKey{}, one)
}

// note follows c, as [http.Server].ConnState.
func (v *visits) note(c net.Conn, state http.ConnState) {
	known, ok := v.all.Load(c)
	if !ok {
		return
	}
	one := known.(*visit)
	switch state {
	case http.StateActive, http.StateIdle:
		one.turn(state == http.StateActive)
	case http.StateClosed, http.StateHijacked:
		v.all.Delete(c)
	}
}

func (o *visit) turn(busy bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun, o.busy, o.since = true, busy, time.Now()
}

// speaks notes in what version of HTTP r came.
func speaks(r *http.Request) {
	if one, ok := r.Context().Value(visitKey{}).(*visit); ok && r.ProtoMajor == 1 {
		one.mu.Lock()
		one.http1 = true
		one.mu.Unlock()
	}
}

// over reports whether the connection may be closed, and whether it is to be waited
// for. Neither holds over HTTP/2: there clients are told which requests were taken.
func (o *visit) over(now time.Time) (rests, stays bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	limit := lastWord
	switch {
	case !o.begun:
		limit = firstWord
	case !o.http1:
		return false, false
	case o.busy:
		return false, true
	}
	rests = now.Sub(o.since) >= limit
	return rests, !rests
}

// leave serves the connections over HTTP/1 to their end: until each has rested, or
// ctx ends.
func (v *visits) leave(ctx context.Context) {
	again := time.NewTicker(lookForRest)
	defer again.Stop()
	for v.closeResting(time.Now()) {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeResting reports whether some are left to be waited for.
func (v *visits) closeResting(now time.Time) (some bool) {
	for c, one := range v.all.Range {
		rests, stays := one.(*visit).over(now)
		if rests {
			c.(net.Conn).Close()
		}
		some = some || stays
	}
	return some
}
