package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
)

// shutDown calls Shutdown and returns where its result will come, once the
// proxy accepts nobody any more.
func (w *world) shutDown(ctx context.Context) <-chan error {
	w.t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.proxy.Shutdown(ctx) }()
	for {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			return done
		}
		c.Close()
	}
}

func TestShutdownLetsWhatIsOpenEnd(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		v := newVenue(t)
		get(t, v.client("h1"), "https://"+v.api+"/short") // an idle connection stays behind
		get(t, v.client("h2"), "https://"+v.api+"/short")
		ctx, cancel := context.WithTimeout(context.Background(), 10*guard)
		defer cancel()
		done := v.shutDown(ctx)
		for name, s := range v.open {
			select {
			case err := <-done:
				t.Fatalf("Shutdown returned %v before the %s had ended", err, name)
			default:
			}
			if err := s.finish(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownCutsWhatIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		v := newVenue(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := v.shutDown(ctx)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || err.Error() != context.Canceled.Error() {
			t.Errorf("Shutdown: %v, want what ended its context", err)
		}
		for name, s := range v.open {
			if err := s.cut(); err == nil {
				t.Errorf("%s: its peer saw a clean end", name)
			}
		}
	})
}

// TestShutdownDoesNotWaitForHandshakes holds that a client which has not even
// begun TLS delays nothing: it could not be served any more.
func TestShutdownDoesNotWaitForHandshakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newOrigins(t), worldOptions{
		prefixes: []string{"https://api.test/"}, limits: limits{handshake: 10 * guard},
	})
	waiting := []net.Conn{w.connect("api.test:443", ""), w.connect("api.test:443", "\x16\x03\x01\x02\x00")}
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	if err := <-w.shutDown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, c := range waiting {
		io.Copy(io.Discard, c) // ends, because it is closed
	}
}

// TestShutdownEndsADialThatHangs holds that a CONNECT whose upstream does not
// answer is given up with everything else.
func TestShutdownEndsADialThatHangs(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	silent := startRaw(t, "127.0.0.1", func(c *net.TCPConn) {
		close(reached)
		io.Copy(io.Discard, c) // an upstream proxy that never answers
	})
	b := newBehind(t, newOrigins(t), always(&url.URL{Scheme: "http", Host: silent}))
	c := b.door()
	io.WriteString(c, request1("CONNECT", b.other, []string{"Host: " + b.other}, ""))
	<-reached
	ctx, cancel := context.WithCancel(context.Background())
	done := b.shutDown(ctx)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
	case <-time.After(connectTimeout / 2): // it took a moment, or that limit
		t.Error("Shutdown waits for the dial")
	}
}

func TestShutdownSaysGoAway(t *testing.T) {
	t.Parallel()
	v := newVenue(t)
	h := newHTTP2Raw(t, v.tlsTo(v.api, "h2"))
	fatal(t, h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.encode(get2("/4", v.api)), EndHeaders: true, EndStream: true}))
	h.await(t, http2.FrameData)
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	done := v.shutDown(ctx)
	h.await(t, http2.FrameGoAway)
	v.holds["/4"].send(ctx)
	if r := h.response(1); r.err != nil || r.body != "last\n" {
		t.Errorf("behind GOAWAY: %+v", r)
	}
	for name, s := range v.open {
		if err := s.finish(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// await reads up to the next frame of a type.
func (h *http2Raw) await(t *testing.T, typ http2.FrameType) http2.Frame {
	t.Helper()
	for {
		f, err := h.framer.ReadFrame()
		fatal(t, err)
		if f.Header().Type == typ {
			return f
		}
	}
}

func TestShutdownTwiceAndBeforeServe(t *testing.T) {
	t.Parallel()
	b := newBehind(t, newOrigins(t), always(nil))
	ctx := context.Background()
	for range 2 {
		if err := b.proxy.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	l := listenLoopback(t)
	if err := b.proxy.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve behind Shutdown: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("Serve left its listener open")
	}
}

// TestSecondShutdownHurries holds that an impatient second call ends the
// patience of the first.
func TestSecondShutdownHurries(t *testing.T) {
	t.Parallel()
	v := newVenue(t)
	first := v.shutDown(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := v.proxy.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("second Shutdown: %v", err)
	}
	<-first
}

// TestRulesChangeUnderLoad swaps the rules while clients make requests and
// have streams open.
func TestRulesChangeUnderLoad(t *testing.T) {
	t.Parallel()
	v := newVenue(t)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			c := v.client([]string{"h1", "h2"}[i%2])
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if n%8 == 0 {
					c.CloseIdleConnections() // the CONNECT, too, meets the swap
				}
				res, err := c.Get("https://" + v.api + "/short")
				if err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
				if err := wantRest(res.Body, "first\n"); err != nil || res.StatusCode != 200 {
					t.Errorf("request %d: %d, %v", n, res.StatusCode, err)
				}
				res.Body.Close()
			}
		})
	}
	prefixes := [][]string{{"https://" + v.api + "/"}, {"https://" + v.api + "/elsewhere"}, {}}
	c := v.client("h1")
	for i := range 200 {
		v.setRules(worldOptions{prefixes: prefixes[i%len(prefixes)]}, v.proxy.o.Upstream)
		get(t, c, "https://"+v.api+"/short")
	}
	close(stop)
	clients.Wait()
	for name, s := range v.open {
		if err := s.finish(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
