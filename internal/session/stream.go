package session

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// holding is what a held stream asks of the session that it belongs to. The
// functions may be called concurrently; renewed, tick, greet, seen, note and
// over may be nil.
type holding struct {
	// open opens the upstream leg of the session's standalone GET under its
	// current id, and recovers the session first if it is lost. fresh says that
	// the session is another than at the last call, also beside an error; the
	// last event's id is not sent to such a one. An error, 409, 429 and 5xx mean
	// that it is worth another try, and any other status that it is not. A call
	// that waits while the session is renewed should give up.
	open func(ctx context.Context, lastEventID string) (res *http.Response, fresh bool, err error)

	// renewed returns what is closed when that session is replaced under whose id
	// open was called last, or the first leg opened. It is asked after each open.
	renewed func() <-chan struct{}

	live  func() bool               // the session is still the client's
	tick  func(ctx context.Context) // on each light tick while a leg stands
	greet func() []string           // notifications for the client after a healing, each without a line break
	seen  func(eventstream.Event)   // each event, and each part of one that is not held
	note  func(Event)               // Kind alone is set
	over  <-chan struct{}           // closed when the stream must not be opened again
	light time.Duration             // between two ticks; the longest wait between two tries

	lastEventID string // that the first leg was opened with
	fresh       bool   // the first leg is of another session than the client knows
}

// stream is the body of a held answer. One goroutine at a time may read it;
// Close may be called at any time.
type stream struct {
	holding
	ctx     context.Context
	end     context.CancelFunc
	stood   chan *leg      // tells the one who tends of the next leg
	tending sync.WaitGroup // who ends the leg that is read, when it is time

	// What follows belongs to the reader.
	leg    *leg
	events eventstream.Splitter
	out    []byte // for the client, before anything else
	err    error  // the end
	pace   pace
	last   string // id of the last event of this session
	greets bool   // the client has not been told of the healing

	replaced <-chan struct{} // what renewed returned after the last open
}

// hold returns the answer to the client's GET: its body outlives the legs that
// carry it, and ends when the session is not the client's any more, when the
// server has no such stream, or with ctx. What it says is whole events only.
// first is the first leg, 200 and text/event-stream; it is not to be used any
// more. A leg in a content coding cannot be cut into events: such a one is not
// held, and ends the stream when it comes later.
func hold(ctx context.Context, first *http.Response, h holding) *http.Response {
	if !followable(first) {
		return first
	}
	s := &stream{holding: h, stood: make(chan *leg), last: h.lastEventID, greets: h.fresh}
	s.ctx, s.end = context.WithCancel(ctx)
	s.pace.opened = time.Now()
	s.know()
	l := s.newLeg(first.Body, func() {})
	l.proved = true // nobody doubts it yet
	s.leg = l
	s.welcome()
	s.tending.Go(func() { s.tend(l) })
	first.Header.Del("Content-Length")
	first.ContentLength, first.Trailer, first.Body = -1, nil, s
	return first
}

// followable reports whether a leg can carry a held stream.
func followable(res *http.Response) bool {
	coding := res.Header.Get("Content-Encoding")
	return res.StatusCode == http.StatusOK && mediaType(res.Header) == "text/event-stream" && (coding == "" || coding == "identity")
}

// Read returns what completes an event before it waits for more.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.err != nil || len(p) == 0 {
			return 0, s.err
		}
		if s.leg == nil {
			s.err = s.reopen()
			continue
		}
		if n := s.read(p); n > 0 {
			return n, nil
		}
	}
	n := copy(p, s.out)
	if s.out = s.out[n:]; len(s.out) == 0 {
		s.out = nil
	}
	return n, nil
}

// read reads from the leg what p has room for, and leaves in p what may be
// said of it. Nothing is overwritten before it has been split: what is said is
// never longer than what was read, but for what had been waiting, and that is
// not in p.
func (s *stream) read(p []byte) (said int) {
	n, err := s.leg.body.Read(p)
	s.events.Write(p[:n], func(raw []byte, e eventstream.Event) {
		s.heed(e)
		n := copy(p[said:], raw)
		said += n
		s.out = append(s.out, raw[n:]...)
	})
	if err != nil {
		s.err = s.ended(err)
	}
	return said
}

// heed takes note of what an event means for the next leg.
func (s *stream) heed(e eventstream.Event) {
	if e.HasID && string(e.ID) != s.last {
		s.last = string(e.ID)
	}
	if e.HasRetry {
		s.pace.retry = e.Retry
	}
	if s.seen != nil && (e.Data != nil || e.Part) {
		s.seen(e)
	}
	s.leg.proved = s.leg.proved || len(e.Data) > 0
}

// Close ends the leg, and waits for whoever works for the stream.
func (s *stream) Close() error {
	s.end()
	s.tending.Wait()
	return nil
}

// tend ends the leg l, and those after it, when it is time, and calls tick.
func (s *stream) tend(l *leg) {
	var ticking sync.WaitGroup
	defer ticking.Wait()
	var beat <-chan time.Time
	if s.light > 0 && s.tick != nil {
		ticker := time.NewTicker(s.light)
		defer ticker.Stop()
		beat = ticker.C
	}
	renewed, ticked := l.renewed, make(chan struct{}, 1)
	busy := false
	for {
		select {
		case <-s.ctx.Done():
			l.end()
			return
		case l = <-s.stood:
			renewed = l.renewed
		case <-renewed:
			l.end()
			renewed = nil
		case <-beat:
			if busy || l.over.Load() || isClosed(s.over) {
				continue
			}
			busy = true
			ticking.Go(func() {
				s.tick(s.ctx)
				ticked <- struct{}{}
			})
		case <-ticked:
			if busy = false; !s.live() {
				l.end()
			}
		}
	}
}
