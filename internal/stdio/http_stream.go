package stdio

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// reader reads the streams of events that follow one another in the place of
// one: the answer to a request, or what the server says unasked.
type reader struct {
	s  *streamable
	on *call // nil: the stream belongs to no request

	last  string // id of the last event, "" if there is none or it cannot be sent back
	news  bool   // the current stream has had an event
	pace  pace
	tries int // without an event
	polls int // that were answered, likewise

	held  int    // bytes that are read of an event that is not complete
	leave func() // nil: none of it takes a turn
}

// mostBuffer is how much is read at once of a stream that has much to say.
const mostBuffer = 64 << 10

// read delivers what a stream says, until it ends. It returns what ended it,
// [io.EOF] if the server did; it is a *failure if there is no use in going on.
func (r *reader) read(ctx context.Context, body io.Reader) (end error) {
	p := eventstream.Splitter{Limit: r.s.most}
	r.held, r.news = 0, false
	defer r.hold(ctx, false)
	buf := make([]byte, 4<<10)
	for {
		n, err := body.Read(buf)
		r.held += n
		p.Write(buf[:n], func(raw []byte, e eventstream.Event) {
			r.held -= len(raw)
			if end == nil {
				end = r.event(e)
			}
		})
		if end != nil {
			return end
		}
		if err != nil {
			return err
		}
		if err := r.hold(ctx, r.held > large); err != nil {
			return err
		}
		if n == len(buf) && n < mostBuffer {
			buf = make([]byte, 2*n)
		}
	}
}

// event takes one event.
func (r *reader) event(e eventstream.Event) error {
	if e.HasID {
		r.last = ""
		if sendable(e.ID) {
			r.last = string(e.ID)
		}
	}
	if e.HasRetry {
		r.pace.said, r.pace.retry = true, min(e.Retry, mostPause)
	}
	if e.HasID || len(e.Data) > 0 {
		r.news, r.tries, r.polls = true, 0, 0
		r.pace.well()
	}
	switch {
	case e.Part && r.on != nil:
		return tooLarge()
	case e.Part:
		r.s.o.Log.Warn("the server sent a message that is too large to be passed on")
	case len(e.Data) > 0 && (len(e.Name) == 0 || string(e.Name) == "message"):
		if err := r.s.hand(e.Data, r.on); err != nil {
			r.s.o.Log.Debug("the server sent an event that is not a message", "error", err)
		}
	}
	return nil
}

// hold takes a turn for an event that is large, or ends it.
func (r *reader) hold(ctx context.Context, large bool) (err error) {
	switch {
	case large && r.leave == nil:
		if r.leave, err = r.s.turn(ctx); err != nil {
			r.leave = nil
		}
	case !large && r.leave != nil:
		r.leave()
		r.leave = nil
	}
	return err
}

// sendable reports whether an id can be the value of a field.
func sendable(id []byte) bool {
	for _, c := range id {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return len(id) <= mostEventID
}

// events delivers an answer that is a stream of events, and goes on with it
// where it breaks off before the response, if the server lets it.
func (s *streamable) events(ctx context.Context, res *http.Response, c *call) error {
	r := &reader{s: s, on: c}
	resumable := !sessionless(res.Request.Header)
	for {
		err := r.read(ctx, res.Body)
		res.Body.Close()
		_, final := err.(*failure)
		switch {
		case isClosed(c.answered):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final:
			return err
		case err == io.EOF:
			err = errEnded
		}
		if r.last == "" || !resumable {
			return broke(err)
		}
		switch {
		case r.news:
		case err == errEnded && r.pace.said: // the server has itself polled, and may for as long as the call waits
			r.tries = 0
			if r.polls++; r.polls > mostTries {
				r.pace.retry = max(r.pace.retry, firstPause)
			}
		default:
			r.pace.failed(0)
		}
		if res, err = r.resume(ctx); err != nil {
			return err
		}
	}
}

// mostTries is how often a call is gone on with before there is an event again.
const mostTries = 8

// resume returns the stream that goes on after the last event.
func (r *reader) resume(ctx context.Context) (*http.Response, error) {
	for ; r.tries < mostTries; r.tries++ {
		if !pause(ctx, r.pace.wait()) {
			return nil, context.Cause(ctx)
		}
		res, over, err := r.open(ctx)
		switch {
		case res != nil:
			r.tries++
			return res, nil
		case over:
			r.s.o.Log.Debug("the server does not go on with an answer that broke off", "error", err)
			return nil, broke(nil)
		}
		r.s.o.Log.Debug("an answer that broke off is not there to be gone on with", "error", err)
	}
	return nil, broke(nil)
}

// open asks for a stream by GET, once. It returns none if there was none, and
// over if there will never be.
func (r *reader) open(ctx context.Context) (res *http.Response, over bool, err error) {
	h := r.s.header()
	h["Accept"] = []string{typeStream}
	if r.last != "" {
		h[headerLast] = []string{r.last}
	}
	res, err = r.s.send(ctx, http.MethodGet, h, nil)
	if err != nil {
		r.pace.failed(0)
		return nil, false, err
	}
	if res.StatusCode == http.StatusOK && mediaType(res.Header) == typeStream && !coded(res.Header) {
		return res, false, nil
	}
	refusal := refused(res)
	r.pace.failed(refusal.retryAfter)
	return nil, !passing(res.StatusCode), refusal
}

// passing reports whether another try can be answered otherwise. 409 says that
// the stream before is not over yet.
func passing(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// pause waits. It returns false if ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
