package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that the clock of a
// bubble goes on.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8878} }

// watching opens /events and returns what comes, and the connection.
func (p *pipes) watching(t *testing.T) (*bufio.Reader, net.Conn) {
	t.Helper()
	mine, theirs := net.Pipe()
	p.accept <- theirs
	io.WriteString(mine, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:8878\r\n\r\n")
	r := bufio.NewReader(mine)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%d %v %s", res.StatusCode, res.Header, b)
	}
	return bufio.NewReader(res.Body), mine
}

// next returns the next event, or comment.
func next(r *bufio.Reader) (string, error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == "\n" {
			return strings.Join(lines, " "), nil
		}
		lines = append(lines, strings.TrimSpace(line))
	}
}

func serveOn(t *testing.T, p *pipes, feed *Feed) (end func()) {
	t.Helper()
	s := New(p.Addr(), Options{
		Admit:  func(net.Conn) func([]string) error { return func([]string) error { return nil } },
		Ready:  func() bool { return true },
		Status: func() any { return "all" }, Pulse: func() any { return "some" }, Plots: func() any { return "lines" },
		Feed: feed,
	})
	done := make(chan error, 1)
	go func() { done <- s.Serve(p) }()
	return func() { s.Close(); <-done }
}

func TestEventsTellAllAtFirstThenWhatHappens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		defer serveOn(t, p, feed)()
		r, _ := p.watching(t)
		want := func(events ...string) {
			t.Helper()
			for _, e := range events {
				if got, err := next(r); got != e {
					t.Fatalf("got %q, %v, want %q", got, err, e)
				}
			}
		}
		want("retry: 1000", `event: status data: "all"`, `event: plots data: "lines"`)
		began := time.Now()
		feed.Publish("request", map[string]int{"id": 1})
		want(`event: request data: {"id":1}`)
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		pulse := `event: pulse data: "some"`
		want(pulse, pulse, pulse, pulse)
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("four pulses in %v", d)
		}
		seen := map[string]int{}
		for time.Since(began) < time.Minute+time.Second/2 { // the limits of other answers are 10 s
			got, err := next(r)
			if err != nil {
				t.Fatal(err)
			}
			seen[got]++
		}
		if seen[pulse] < 56 || seen[`event: plots data: "lines"`] != 12 || seen[": still here"] != 4 {
			t.Errorf("in a minute: %v", seen)
		}
	})
}

func TestWatcherWhoLostSomethingIsToldAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		defer serveOn(t, p, feed)()
		r, _ := p.watching(t)
		for i := range 3 * maxWaiting {
			feed.Publish("request", i)
			if i == 0 {
				synctest.Wait() // until the server waits for its reader
			}
		}
		at := map[string]int{}
		for n := 1; at[`event: request data: 1535`] == 0; n++ {
			got, err := next(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(got, "event: request") || strings.HasPrefix(got, "event: status") {
				at[got] = n // the last of its kind
			}
		}
		if len(at) > maxWaiting+2 || at[`event: status data: "all"`] < 3 {
			t.Errorf("%d events, the status at %d", len(at), at[`event: status data: "all"`])
		}
	})
}

func TestWatcherWhoReadsNothingIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		defer serveOn(t, p, feed)()
		_, c := p.watching(t)
		defer c.Close()
		if !feed.Watched() {
			t.Error("it does not watch")
		}
		time.Sleep(writeLimit + 2*time.Second)
		synctest.Wait()
		if feed.Watched() {
			t.Error("it is still waited for")
		}
	})
}

func TestCloseEndsThoseWhoWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		end := serveOn(t, p, feed)
		r, _ := p.watching(t)
		next(r)
		end()
		if feed.Watched() {
			t.Error("somebody still watches")
		}
		for range 10 {
			if _, err := next(r); err != nil {
				return
			}
		}
		t.Error("the stream goes on")
	})
}

// A body that never comes keeps net/http from reading what comes behind it.
func TestCloseDoesNotWaitForABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		end := serveOn(t, p, feed)
		mine, theirs := net.Pipe()
		p.accept <- theirs
		go io.Copy(io.Discard, mine)
		io.WriteString(mine, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:8878\r\nContent-Length: 5\r\n\r\n")
		synctest.Wait()
		began := time.Now()
		end()
		if d := time.Since(began); d != 0 || feed.Watched() {
			t.Errorf("it took %v", d)
		}
	})
}

func TestOneWatcherTooManyIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, feed := newPipes(), new(Feed)
		defer serveOn(t, p, feed)()
		for range maxWatchers {
			_, c := p.watching(t)
			defer c.Close()
			go io.Copy(io.Discard, c)
		}
		mine, theirs := net.Pipe()
		defer mine.Close()
		p.accept <- theirs
		io.WriteString(mine, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:8878\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(mine), nil)
		if err != nil || res.StatusCode != 503 {
			t.Errorf("%+v %v", res, err)
		}
	})
}
