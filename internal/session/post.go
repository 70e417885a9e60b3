package session

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"

	"github.com/injectproxy/injectproxy/internal/replay"
)

// mostTracked is how long a message may be in which a setting is looked for.
const mostTracked = 64 << 10

// post sends a message, and once more if the server refused it because the
// session is lost.
func (x *exchange) post() (*http.Response, error) {
	at, leave, err := x.enter()
	if err != nil {
		x.close()
		return nil, err
	}
	res, err := x.message(at)
	if err != nil {
		leave()
		return nil, err
	}
	x.listen(res)
	whenClosed(res, leave)
	return res, nil
}

// enter waits until the session can be used, has its time over if that is due,
// and counts the call.
func (x *exchange) enter() (view, func(), error) {
	ctx := x.req.Context()
	x.t.reset(ctx, x.s, x.req)
	return x.s.join(ctx)
}

func (x *exchange) close() {
	if x.req.Body != nil {
		x.req.Body.Close()
	}
}

func (x *exchange) message(at view) (*http.Response, error) {
	if at.turn > 0 && x.stale() {
		x.close()
		x.note(Event{Kind: Dropped})
		return x.accepted(), nil
	}
	x.body = replay.Hold(x.req, x.t.o.BodyLimit, x.t.o.Memory)
	defer x.body.Finish()
	res, err := x.send(at)
	if err != nil || !x.heals() {
		return x.pass(res, err)
	}
	if why := symptom(res); why != "" {
		return x.mend(res, why)
	}
	if res.StatusCode < 300 {
		x.track()
	}
	return x.pass(res, nil)
}

// mend deals with a message that was refused with the sign of a lost session.
func (x *exchange) mend(res *http.Response, why string) (*http.Response, error) {
	peek(res) // sending the body again may end the answer's connection
	fate := x.fate()
	if fate == stays {
		return x.pass(res, nil)
	}
	if err := x.prove(why); err != nil {
		return x.unmended(res, err)
	}
	if fate == drop {
		x.body.Discard(res)
		x.note(Event{Kind: Dropped})
		return x.accepted(), nil
	}
	if err := x.recover(why); err != nil {
		return x.unmended(res, err)
	}
	x.body.Discard(res)
	if fate == done {
		x.note(Event{Kind: Replayed})
		return x.accepted(), nil
	}
	return x.again()
}

// unmended passes a refusal, or what says better why it stays.
func (x *exchange) unmended(res *http.Response, err error) (*http.Response, error) {
	if f, ok := errors.AsType[*failure](err); ok && f.err != nil {
		x.body.Discard(res)
		return nil, f.err
	}
	return x.pass(res, nil)
}

// again sends the message for the second and last time.
func (x *exchange) again() (*http.Response, error) {
	old := x.at
	res, err := x.send(x.s.now())
	if err != nil {
		return x.pass(nil, err)
	}
	x.note(Event{Kind: Replayed})
	if why := symptom(res); why != "" {
		x.refused(why, old)
	} else if res.StatusCode < 300 {
		x.track()
	}
	return x.pass(res, nil)
}

// accepted answers for the server a message that it does not get.
func (x *exchange) accepted() *http.Response { return x.answer(http.StatusAccepted) }

// answer is one of our own, with nothing in it.
func (x *exchange) answer(status int) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: x.req.Proto, ProtoMajor: x.req.ProtoMajor, ProtoMinor: x.req.ProtoMinor,
		Header: http.Header{}, Body: http.NoBody, Request: x.req,
	}
}

// track remembers what a message that the server accepted has set.
func (x *exchange) track() {
	b, ok := x.body.Whole(mostTracked)
	if !ok || !bytes.Contains(b, []byte("etLevel")) && !bytes.Contains(b, []byte("ubscribe")) {
		return
	}
	all, grown := messages(b), 0
	x.s.mu.Lock()
	for _, m := range all {
		grown += x.s.replay.note(m)
	}
	x.s.mu.Unlock()
	x.t.o.Book.grow(x.s, grown)
}
