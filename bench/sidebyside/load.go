package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A tally is what the clients of one measurement saw.
type tally struct {
	ops     int64 // requests answered, or events
	bytes   int64 // of bodies
	lags    []time.Duration
	failed  int64
	failure error // one of them
}

func (t *tally) fail(err error) {
	t.failed++
	t.failure = err
}

func (t *tally) add(o tally) {
	t.ops, t.bytes, t.failed = t.ops+o.ops, t.bytes+o.bytes, t.failed+o.failed
	t.lags = append(t.lags, o.lags...)
	if o.failure != nil {
		t.failure = o.failure
	}
}

// percentile returns the lag that the given share of lags does not exceed.
func (t *tally) percentile(share float64) time.Duration {
	if len(t.lags) == 0 {
		return 0
	}
	slices.Sort(t.lags)
	return t.lags[min(len(t.lags)-1, int(float64(len(t.lags))*share))]
}

// A load sends requests until its time has passed or there are enough of them.
type load struct {
	work    work
	clients []*http.Client // one per connection, or one for all
	url     func(n int) string
	bearer  bool
	sent    atomic.Int64
}

// open has every client make its connection, and sends a request on each.
func (l *load) open(ctx context.Context) error {
	if l.work.fresh {
		return nil
	}
	var group sync.WaitGroup
	errs := make([]error, l.work.clients)
	for i := range errs {
		if l.work.h2 && i >= len(l.clients) {
			break // it shares a connection that is there
		}
		group.Go(func() { errs[i] = l.send(ctx, i, new(tally)) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// run has all clients send for the duration d. None is cut short: the last
// answers come after it.
func (l *load) run(ctx context.Context, d time.Duration) tally {
	until := time.Now().Add(d)
	tallies := make([]tally, l.work.clients)
	var group sync.WaitGroup
	for i := range tallies {
		group.Go(func() {
			t := &tallies[i]
			for ctx.Err() == nil && time.Now().Before(until) && l.more() {
				if err := l.send(ctx, i, t); err != nil {
					t.fail(err)
				}
			}
		})
	}
	group.Wait()
	var sum tally
	for _, t := range tallies {
		sum.add(t)
	}
	return sum
}

// more reports whether another request is wanted, where their number is bounded.
func (l *load) more() bool {
	return l.work.hosts == 0 || l.sent.Load() < int64(l.work.hosts)
}

// send sends one request of client i and reads its answer.
func (l *load) send(ctx context.Context, i int, t *tally) error {
	n := int(l.sent.Add(1)) - 1
	if l.work.hosts > 0 && n >= l.work.hosts {
		return nil // another client took the last one
	}
	req, err := l.request(ctx, n)
	if err != nil {
		return err
	}
	began := time.Now()
	res, err := l.clients[i%len(l.clients)].Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.Copy(io.Discard, res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("the answer is %s", res.Status)
	case got != l.work.answer():
		return fmt.Errorf("%d bytes of an answer of %d", got, l.work.answer())
	}
	t.lags = append(t.lags, time.Since(began))
	t.ops, t.bytes = t.ops+1, t.bytes+max(got, l.work.size)
	return nil
}

func (l *load) request(ctx context.Context, n int) (*http.Request, error) {
	method, body := "GET", io.Reader(nil)
	if l.work.path == "/sink" {
		method, body = "POST", io.LimitReader(zeros{}, l.work.size)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url(n), body)
	if err != nil {
		return nil, err
	}
	if body != nil && !l.work.chunked {
		req.ContentLength = l.work.size
	}
	if l.bearer {
		req.Header.Set("Authorization", "Bearer of-the-client")
	}
	return req, nil
}

// answer is the length that the body of every answer has.
func (w work) answer() int64 {
	switch w.path {
	case "/big":
		return w.size
	case "/sink":
		return int64(len(strconv.FormatInt(w.size, 10)))
	}
	return 1024
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
