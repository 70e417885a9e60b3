package session

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// overBoth runs f with a server of each protocol, and a Transport for it.
func overBoth(t *testing.T, h http.HandlerFunc, f func(t *testing.T, proto, address string, rt *http.Transport)) {
	t.Parallel()
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != proto {
					t.Errorf("%s instead of %s", r.Proto, proto)
				}
				h(w, r)
			}))
			srv.EnableHTTP2 = proto == "HTTP/2.0"
			srv.StartTLS()
			t.Cleanup(srv.Close)
			rt := srv.Client().Transport.(*http.Transport)
			t.Cleanup(rt.CloseIdleConnections)
			f(t, proto, srv.URL, rt)
		})
	}
}

// holder holds each stream that the server opens.
type holder struct {
	next    http.RoundTripper
	renewed <-chan struct{}
	kinds   atomic.Int32 // Reopened
}

func (x *holder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := x.next.RoundTrip(req)
	if err != nil || res.StatusCode != 200 {
		return res, err
	}
	return hold(req.Context(), res, holding{
		open: func(ctx context.Context, last string) (*http.Response, bool, error) {
			out := req.Clone(ctx)
			out.Header.Set("Last-Event-ID", last)
			res, err := x.next.RoundTrip(out)
			return res, false, err
		},
		live:    func() bool { return true },
		renewed: func() <-chan struct{} { return x.renewed },
		note:    func(Event) { x.kinds.Add(1) },
		light:   20 * time.Millisecond,
	}), nil
}

func get(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// say sends text and has it leave at once.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
	http.NewResponseController(w).Flush()
}

func wantText(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); string(got) != want {
		t.Fatalf("got %q (%v), want %q", got[:n], err, want)
	}
}

// TestHeldStreamSurvivesAReset holds, with real connections, that a leg that
// is reset within an event and one that ends leave nothing half said, and that
// each event is there before the server says another byte.
func TestHeldStreamSurvivesAReset(t *testing.T) {
	type state struct{ turn, read, left chan string }
	states := map[string]state{}
	for _, proto := range protocols {
		states[proto] = state{make(chan string, 9), make(chan string), make(chan string, 1)}
	}
	overBoth(t, func(w http.ResponseWriter, r *http.Request) {
		s := states[r.Proto]
		switch last := r.Header.Get("Last-Event-ID"); last {
		case "":
			say(w, "id: 1\ndata: a\n\n")
			<-s.read
			say(w, "id: 2\ndata: ha")
			panic(http.ErrAbortHandler)
		case "1":
			say(w, "id: 2\ndata: half\n\n: still here\n")
			<-s.read
		default:
			say(w, "id: 3\ndata: c\n\n")
			<-r.Context().Done()
			s.left <- last
		}
	}, func(t *testing.T, proto, address string, rt *http.Transport) {
		s := states[proto]
		x := &holder{next: rt}
		res, err := x.RoundTrip(get(t, address))
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, res.Body, "id: 1\ndata: a\n\n")
		s.read <- ""
		wantText(t, res.Body, "id: 2\ndata: half\n\n: still here\n")
		s.read <- ""
		wantText(t, res.Body, "id: 3\ndata: c\n\n")
		if n := x.kinds.Load(); n != 2 {
			t.Errorf("reopened %d times", n)
		}
		res.Body.Close()
		if last := <-s.left; last != "2" {
			t.Errorf("the leg that was closed followed event %q", last)
		}
	})
}

// TestLegIsClosedWhileItIsRead holds that the end of a session ends a leg whose
// server is silent, with real connections.
func TestLegIsClosedWhileItIsRead(t *testing.T) {
	left := map[string]chan string{}
	for _, proto := range protocols {
		left[proto] = make(chan string, 1)
	}
	overBoth(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Last-Event-Id"] == nil {
			say(w, "data: a\n\n")
			<-r.Context().Done()
			left[r.Proto] <- ""
			return
		}
		say(w, "data: b\n\n")
		<-r.Context().Done()
	}, func(t *testing.T, proto, address string, rt *http.Transport) {
		renewed := make(chan struct{})
		res, err := (&holder{next: rt, renewed: renewed}).RoundTrip(get(t, address))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		wantText(t, res.Body, "data: a\n\n")
		close(renewed)
		wantText(t, res.Body, "data: b\n\n")
		<-left[proto]
	})
}

// TestClientOfAReverseProxyHasEachEventAtOnce holds that the answer is what
// ReverseProxy passes on without delay, and that a client that leaves ends all.
func TestClientOfAReverseProxyHasEachEventAtOnce(t *testing.T) {
	left := make(chan bool, 2)
	overBoth(t, func(w http.ResponseWriter, r *http.Request) {
		first := r.Header.Get("Last-Event-ID") == ""
		if first {
			say(w, "id: 1\ndata: a\n\n")
			return
		}
		say(w, "data: b\n\n")
		<-r.Context().Done()
		left <- true
	}, func(t *testing.T, _, address string, rt *http.Transport) {
		to, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(to) }, Transport: &holder{next: rt},
		})
		defer front.Close()
		req := get(t, front.URL)
		ctx, leave := context.WithCancel(req.Context())
		res, err := front.Client().Transport.RoundTrip(req.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.ContentLength != -1 {
			t.Errorf("length %d", res.ContentLength)
		}
		wantText(t, bufio.NewReader(res.Body), "id: 1\ndata: a\n\ndata: b\n\n")
		leave()
		<-left
	})
}

// BenchmarkIdle is what a held stream costs while nothing is said on it,
// besides its connections: one goroutine that reads it, and its own.
func BenchmarkIdle(b *testing.B) {
	b.ReportAllocs()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	for b.Loop() {
		first, _ := pipeLeg()
		hold(ctx, first, holding{live: func() bool { return true }, tick: func(context.Context) {}, light: time.Hour})
	}
}
