package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// perConnection is how many streams a connection of HTTP/2 carries here.
const perConnection = 100

// audience are those who listen to streams: one in five over HTTP/1.1, each on a
// connection of its own, and the others over HTTP/2.
type audience struct {
	l     *load
	end   context.CancelFunc
	lines []*bufio.Reader
	close []func() error
}

// listen opens n streams, each of which has begun when it returns.
func (l *load) listen(n int) *audience {
	l.t.Helper()
	ctx, end := context.WithCancel(context.Background())
	a := &audience{l: l, end: end}
	var mu sync.Mutex
	open := func(h *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, "GET", l.url+"/v1/events", nil)
		if err != nil {
			return err
		}
		res, err := h.Do(req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		a.lines = append(a.lines, bufio.NewReaderSize(res.Body, 64))
		a.close = append(a.close, res.Body.Close)
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}
	var groups []func() error
	one := l.client(false)
	for range n / 5 {
		groups = append(groups, func() error { return open(one) })
	}
	for range n * 4 / 5 / perConnection {
		two := l.client(true)
		groups = append(groups, func() error {
			if err := open(two); err != nil { // makes the connection
				return err
			}
			return calls(perConnection-1, func(int) error { return open(two) })
		})
	}
	// Few at a time: Go's server ends a connection whose first frames do not come
	// within two seconds, and this machine has more to do.
	if err := shared(8, groups); err != nil {
		l.t.Fatal(err)
	}
	a.each("data: begun")
	return a
}

// shared has n at a time do things.
func shared(n int, things []func() error) error {
	var next atomic.Int64
	return calls(n, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(things) {
				return nil
			}
			if err := things[i](); err != nil {
				return err
			}
		}
	})
}

// client returns a client of the proxy.
func (l *load) client(two bool) *http.Client {
	tr := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: l.p.address}),
		ForceAttemptHTTP2: two, TLSClientConfig: &tls.Config{RootCAs: l.roots},
		WriteBufferSize: 1 << 10, ReadBufferSize: 1 << 10,
	}
	l.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// each reads an event from every stream.
func (a *audience) each(want string) {
	a.l.t.Helper()
	things := make([]func() error, len(a.lines))
	for i, lines := range a.lines {
		things[i] = func() error {
			line, err := lines.ReadString('\n')
			if _, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
				return fmt.Errorf("%q, %w; want %q", line, err, want)
			}
			return err
		}
	}
	if err := shared(64, things); err != nil {
		a.l.t.Fatal(err)
	}
}

// leave ends all streams from the client's side.
func (a *audience) leave() {
	a.end()
	for _, f := range a.close {
		f()
	}
}

// TestFiveThousandStreams: each has its events, and nothing is left of them.
func TestFiveThousandStreams(t *testing.T) {
	thorough(t)
	t.Parallel()
	const n = 5000
	l := newLoad(t, "1s")
	l.listen(5 * perConnection).leave() // what is kept for good is there now
	before := l.vitals()
	a := l.listen(n)
	for range 2 {
		l.server("/tick")
		a.each("data: tick")
	}
	full := l.vitals()
	if got := l.server("/open"); got < n || full.busy < n {
		t.Errorf("%d streams at the server and %d in the proxy, of %d", got, full.busy, n)
	}
	each := (full.resident - before.resident) / n
	t.Logf("%v; %d KiB for a stream, of which %d KiB heap", full, each>>10, (full.heap-before.heap)/n>>10)
	if each > 200<<10 {
		t.Errorf("%d bytes for a stream", each)
	}
	a.leave()
	// Connections of HTTP/2 to the server are kept for a while.
	before.descriptors += n / perConnection
	before.goroutines += 4 * n / perConnection
	before.heap += 8 << 20
	after, err := l.rested(before)
	if err != nil {
		t.Errorf("after them: %v", err)
	}
	t.Logf("before: %v; afterwards: %v", before, after)
}
