package proxy

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// live returns how much memory is held by what is in use. Tests that measure
// it are not parallel.
func live() int64 {
	runtime.GC()
	return int64(heap())
}

// crowd is an upstream that counts how many requests it has at once.
type crowd struct{ now, most atomic.Int64 }

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for {
		most := c.most.Load()
		if n <= most || c.most.CompareAndSwap(most, n) {
			break
		}
	}
	if r.URL.Path == "/stay" {
		<-r.Context().Done()
	}
}

// meanwhile has another client make requests until it is stopped, at least
// one; each must be answered.
func (r *rig) meanwhile(t *testing.T, path string) (stop func()) {
	t.Helper()
	var client sync.WaitGroup
	done := make(chan struct{})
	first := make(chan struct{})
	var once sync.Once
	client.Go(func() {
		for {
			res, err := r.client("h2").Do(r.request("GET", path, nil))
			if err != nil {
				t.Errorf("another client: %v", err)
			} else if res.Body.Close(); res.StatusCode != 200 {
				t.Errorf("another client: status %d", res.StatusCode)
			}
			once.Do(func() { close(first) })
			select {
			case <-done:
				return
			default:
			}
		}
	})
	return func() {
		<-first
		close(done)
		client.Wait()
	}
}

// TestRapidResetIsSurvived opens streams and takes each back at once (CVE-2023-44487).
func TestRapidResetIsSurvived(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		t.Run(upstream+" upstream", func(t *testing.T) {
			up := new(crowd)
			r := newRig(t, "h2", upstream, up.ServeHTTP)
			c := r.tlsTo(r.authority, "h2")
			h := newHTTP2Raw(t, c)
			var reading sync.WaitGroup
			reading.Go(func() { io.Copy(io.Discard, c) })
			defer reading.Wait()
			before := live()
			stop := r.meanwhile(t, "")
			sent := 0
			for ; sent < 5000; sent++ {
				id := h.next
				h.next += 2
				if h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.encode(get2("/stay", r.authority)), EndHeaders: true, EndStream: true}) != nil {
					break
				}
				if h.framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					break
				}
			}
			stop()
			c.Close()
			most := int64(64 << 20)
			if raceDetector {
				most *= 4 // it keeps a shadow of what is freed
			}
			if grown := live() - before; grown > most {
				t.Errorf("the heap grew by %d MiB in %d resets", grown>>20, sent)
			}
			// One connection's worth of streams, and the other client's one.
			if most := up.most.Load(); most > 251 {
				t.Errorf("the upstream had %d requests at once", most)
			}
			t.Logf("%d streams were reset, %d requests at once reached the upstream", sent, up.most.Load())
		})
	}
}

// TestContinuationFloodIsSurvived sends a header that never ends (CVE-2023-45288).
func TestContinuationFloodIsSurvived(t *testing.T) {
	r := newRig(t, "h2", "h2", new(crowd).ServeHTTP)
	stop := r.meanwhile(t, "")
	before := live()
	c := r.tlsTo(r.authority, "h2")
	h := newHTTP2Raw(t, c)
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(io.Discard, c) })                        // until the proxy closes
	block := h.encode(fields{"x-flood", strings.Repeat("\xff", 12<<10)}) // literal: it does not shrink
	fatal(t, h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}))
	sent := 0
	for ; sent < 64<<20; sent += len(block) {
		if h.framer.WriteContinuation(1, false, block) != nil {
			break
		}
	}
	if sent >= 64<<20 {
		t.Errorf("%d MiB of a header were taken", sent>>20)
	}
	reading.Wait()
	stop()
	if grown := live() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	t.Logf("closed after %d KiB", sent>>10)
}

// TestSlowReaderHoldsUpNobody holds that a client which does not read its
// answer stops only that answer, also for those who share the connection to
// the upstream, or the connection to the proxy.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		full := make(chan struct{}, 4)
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/endless" {
				return
			}
			buf := make([]byte, 64<<10)
			for sent := 0; r.Context().Err() == nil; sent += len(buf) {
				if _, err := w.Write(buf); err != nil {
					return
				}
				if sent == 1<<20 {
					full <- struct{}{}
				}
			}
		})
		before := live()
		for range cap(full) {
			r.do(r.request("GET", "endless", nil)) // its body is never read
		}
		for range cap(full) {
			<-full
		}
		for _, c := range []*http.Client{r.http, r.client("h1"), r.client("h2")} {
			res, err := c.Do(r.request("GET", "short", nil))
			fatal(t, err)
			res.Body.Close()
		}
		if grown := live() - before; grown > 64<<20 {
			t.Errorf("the heap grew by %d MiB", grown>>20)
		}
	})
}

// TestManyConnectionsAreLetGo holds that those who connect and leave, at any
// point, leave nothing behind.
func TestManyConnectionsAreLetGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, "h1", "h1", new(crowd).ServeHTTP)
	connect := "CONNECT " + r.authority + " HTTP/1.1\r\nHost: " + r.authority + "\r\n\r\n"
	for i := range 300 {
		c := r.door()
		io.WriteString(c, connect[:i*len(connect)/300])
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	for range 100 {
		c := r.connect(r.authority, "\x16\x03\x01")
		c.Close()
	}
	<-r.proxy.hijacks.whenIdle()
	r.do(r.request("GET", "", nil))
}
