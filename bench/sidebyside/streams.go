package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// atOnce is how many streams are opened side by side: a burst that a program
// with many agents makes, not one that fills the queues of listeners.
const atOnce = 64

// streams are event streams that are opened together. They end by themselves,
// if there is an end to their events, or with close.
type streams struct {
	work    work
	clients []*http.Client
	url     string
	bearer  bool

	events   atomic.Int64  // read so far
	ended    chan struct{} // closed when the first of them has ended or failed
	endFirst sync.Once
	cancel   context.CancelFunc
	readers  sync.WaitGroup
	mu       sync.Mutex // guards tally
	tally    tally
}

// open opens all of them and returns when each has sent its header.
func (s *streams) open(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.ended = make(chan struct{})
	s.firstOf(ctx)
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := len(s.clients); i < s.work.clients; i++ {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			s.begin(ctx, i)
		})
	}
	group.Wait()
}

// firstOf opens one stream on every connection, so that there are as many
// connections as clients when the rest is opened.
func (s *streams) firstOf(ctx context.Context) {
	var group sync.WaitGroup
	for i := range s.clients {
		group.Go(func() { s.begin(ctx, i) })
	}
	group.Wait()
}

// begin opens stream i and leaves a goroutine behind that reads it.
func (s *streams) begin(ctx context.Context, i int) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url, nil)
	if err != nil {
		s.fail(err)
		return
	}
	if s.bearer {
		req.Header.Set("Authorization", "Bearer of-the-client")
	}
	res, err := s.clients[i%len(s.clients)].Do(req)
	if err != nil {
		s.fail(err)
		return
	}
	s.readers.Go(func() {
		defer res.Body.Close()
		s.read(ctx, res)
	})
}

// read counts the events of one stream, and takes note of how late each is.
func (s *streams) read(ctx context.Context, res *http.Response) {
	defer s.endFirst.Do(func() { close(s.ended) })
	if res.StatusCode != http.StatusOK {
		s.fail(fmt.Errorf("the answer is %s", res.Status))
		return
	}
	var lags []time.Duration
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 512), 64<<10)
	for lines.Scan() {
		if at, ok := sentAt(lines.Text()); ok {
			lags = append(lags, time.Since(at))
			s.events.Add(1)
		}
	}
	if ctx.Err() != nil {
		return // closed by us, when enough was seen
	}
	if err := lines.Err(); err != nil {
		s.fail(err)
	} else if s.work.events == 0 {
		s.fail(errors.New("a stream that was to stay open has ended"))
	} else if len(lags) != s.work.events {
		s.fail(fmt.Errorf("a stream ended after %d of %d events", len(lags), s.work.events))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.add(tally{ops: int64(len(lags)), lags: lags})
}

// sentAt reads when the event of a line was sent.
func sentAt(line string) (time.Time, bool) {
	text, ok := strings.CutPrefix(line, "data: ")
	if !ok {
		return time.Time{}, false
	}
	text, _, _ = strings.Cut(text, " ")
	ns, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(0, ns), err == nil
}

func (s *streams) fail(err error) {
	s.endFirst.Do(func() { close(s.ended) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.fail(err)
}

// wait returns when all have ended.
func (s *streams) wait() tally {
	s.readers.Wait()
	s.cancel()
	return s.tally
}

// close ends those that are open, and returns what was seen of them.
func (s *streams) close() tally {
	s.cancel()
	return s.wait()
}
