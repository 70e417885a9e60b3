package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// occupied is an upstream that tells when it holds a request and when that
// request's context has ended.
type occupied struct {
	held, left chan struct{}
	before     func(w http.ResponseWriter, r *http.Request) // what happens until it holds
}

func newOccupied(before func(http.ResponseWriter, *http.Request)) *occupied {
	return &occupied{held: make(chan struct{}, 64), left: make(chan struct{}, 64), before: before}
}

func (o *occupied) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/warm" {
		return
	}
	o.before(w, r)
	o.held <- struct{}{}
	// A server learns on HTTP/1 that its client has left when it reads.
	if r.Method == http.MethodPut {
		io.Copy(io.Discard, r.Body)
	}
	<-r.Context().Done()
	o.left <- struct{}{}
}

// expect waits for n events.
func expect(t *testing.T, what string, events <-chan struct{}, n int) {
	t.Helper()
	timeout := time.After(guard)
	for i := range n {
		select {
		case <-events:
		case <-timeout:
			t.Fatalf("%s: %d of %d", what, i, n)
		}
	}
}

// departures are the moments in which a client can leave.
var departures = []struct {
	name, method string
	body         bool // some of it is sent, but never all
	before       func(w http.ResponseWriter, r *http.Request)
}{
	{"before the header", "GET", false, func(http.ResponseWriter, *http.Request) {}},
	{"on an idle stream", "GET", false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		flush(w)
	}},
	{"in the middle of a known length", "GET", false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "some of it")
		flush(w)
	}},
	{"in the middle of an upload", "PUT", true, func(_ http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, len(step(0))))
	}},
}

func TestUpstreamLearnsThatTheClientLeft(t *testing.T) {
	const clients = 8
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for _, d := range departures {
			t.Run(d.name, func(t *testing.T) {
				o := newOccupied(d.before)
				r := newRig(t, client, upstream, o.ServeHTTP)
				r.do(r.request("GET", "warm", nil)).Body.Close()
				resting := goleak.IgnoreCurrent()
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				var gone sync.WaitGroup
				for range clients {
					gone.Go(func() { stay(ctx, r, d.method, d.body) })
				}
				expect(t, "requests that reached the upstream", o.held, clients)
				leave()
				expect(t, "requests whose end the upstream saw", o.left, clients)
				gone.Wait()
				// Pooled connections keep goroutines; nothing else may.
				r.http.CloseIdleConnections()
				r.proxy.o.Upstream.(*Upstream).CloseIdleConnections()
				if err := goleak.Find(resting); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// stay makes a request and keeps it open until ctx ends.
func stay(ctx context.Context, r *rig, method string, withBody bool) {
	var body io.Reader
	if withBody {
		pr, pw := io.Pipe()
		go io.WriteString(pw, step(0))
		context.AfterFunc(ctx, func() { pw.CloseWithError(context.Canceled) })
		body = pr
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+"stay", body)
	if err != nil {
		r.t.Error(err)
		return
	}
	if res, err := r.http.Do(req); err == nil {
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

func TestUpstreamLearnsThatTheClientsConnectionBroke(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for _, d := range departures[:3] {
			t.Run(d.name, func(t *testing.T) {
				o := newOccupied(d.before)
				r := newRig(t, client, upstream, o.ServeHTTP)
				conns := make(chan *net.TCPConn, 1)
				r.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil {
						conns <- c.(*net.TCPConn)
					}
					return c, err
				}
				ctx, cancel := context.WithCancel(context.Background())
				var gone sync.WaitGroup
				gone.Go(func() { stay(ctx, r, d.method, false) })
				expect(t, "requests that reached the upstream", o.held, 1)
				conn := <-conns
				conn.SetLinger(0) // no farewell of any kind
				conn.Close()
				expect(t, "requests whose end the upstream saw", o.left, 1)
				cancel()
				gone.Wait()
			})
		}
	})
}
