package gate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

func TestARequestAndItsAnswerPassAsTheyAre(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s [%s]", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Own"), b))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	f := stand(t, Options{Routes: []Route{{Path: "/mcp", Allow: true, Tools: []Grant{{Pattern: "admin"}}}}}, upstream.URL)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		body := ""
		if method == "POST" {
			body = callEcho
		}
		req := f.request(t, method, "/mcp/a%20b/?x=%2f&y", body)
		req.Header.Set("X-Own", "mine")
		res, got := f.do(t, req)
		want := fmt.Sprintf("%s %s %s %s [%s]", method, "/mcp/a%20b/?x=%2f&y", f.url[len("http://"):], "mine", body)
		if seen := res.Header.Get("X-Seen"); res.StatusCode != 202 || seen != want || got != `{"jsonrpc":"2.0","id":1,"result":{}}` {
			t.Errorf("%s: %s, %q, %q; the upstream should see %q", method, res.Status, seen, got, want)
		}
		done := <-f.done
		if done.Status != 202 || done.Bytes != int64(len(got)) || done.Attempts != 1 || !done.Allowed || done.Duration <= 0 || done.Upstream != upstream.Listener.Addr().String() {
			t.Errorf("%s: told of %+v", method, done)
		}
	}
}

func TestAnUpstreamThatCannotBeReachedIsPassedOver(t *testing.T) {
	t.Parallel()
	url, heard := witness(t)
	f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Upstreams: urls(t, nobody, url, "https://"+url[len("http://"):])}}})
	for range 6 {
		res, _ := f.do(t, f.request(t, "POST", "/", callEcho))
		if got := heard(); res.StatusCode != 200 || strings.Count(got, "tools/call") != 1 {
			t.Fatalf("%s, the upstream saw\n%s", res.Status, got)
		}
		if done := <-f.done; done.Attempts < 1 || done.Attempts > 3 || done.Late || done.Upstream != url[len("http://"):] {
			t.Errorf("told of %+v", done)
		}
	}
	for _, u := range f.Upstreams() {
		if lame := u.Host == nobody[len("http://"):]; u.InFlight != 0 || u.Route != "/" || lame && u.Failed.IsZero() {
			t.Errorf("the state is %+v", u)
		}
	}
}

func TestAFailedUpstreamRestsAndTheBusiestComesLast(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, b, c := new(upstream), new(upstream), new(upstream)
	x := &exchange{route: &route{upstreams: []*upstream{a, b, c}}}
	a.failed.Store(now.Add(-restAfterFailure + time.Second).UnixNano())
	b.inFlight.Store(2)
	for range 4 {
		if got := x.candidates(now); !slices.Equal(got, []*upstream{c, b, a}) {
			t.Errorf("the order is %v", got)
		}
	}
	if got := x.candidates(now.Add(time.Second)); !slices.Equal(got[2:], []*upstream{b}) {
		t.Errorf("an upstream that has rested comes behind a busy one")
	}
	b.inFlight.Store(0)
	first := map[*upstream]int{}
	for range 6 {
		first[x.candidates(now.Add(time.Minute))[0]]++
	}
	if first[a] != 2 || first[b] != 2 || first[c] != 2 {
		t.Errorf("equals do not take turns: %v", first)
	}
	x.session.upstream = a
	if got := x.candidates(now); !slices.Equal(got, []*upstream{a}) {
		t.Errorf("a session would leave its upstream for %v", got)
	}
}

func TestWithoutAnyUpstreamTheAnswerSaysThatNothingWasSent(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Upstreams: urls(t, nobody, nobody)}}})
	res, body := f.do(t, f.request(t, "POST", "/", callEcho))
	if res.StatusCode != 502 || res.Header.Get("Retry-After") != "5" || !strings.Contains(body, `"id":1`) || !strings.Contains(body, "nothing was sent") {
		t.Errorf("%s, %v, %s", res.Status, res.Header, body)
	}
	if done := <-f.done; done.Attempts != 2 || done.Upstream != urls(t, nobody)[0].Host || done.Late || done.Problem == "" {
		t.Errorf("told of %+v", done)
	}
}

// nobody listens there.
const nobody = "http://127.0.0.1:1"

func TestNothingIsSentASecondTime(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"1.1", "h2c"} {
		for _, way := range []string{"POST", "DELETE", "POST with another upstream"} {
			method, _, another := strings.Cut(way, " ")
			t.Run(protocol+" "+way, func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int64
				upstream := serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if calls.Add(1)%2 == 0 { // with one upstream, on a connection that has carried a request
						panic(http.ErrAbortHandler)
					}
				})
				f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: protocol}}}, upstream.URL)
				if another {
					f.routes[0].upstreams = append(f.routes[0].upstreams, f.upstreams(f.routes[0].Route)...)
				}
				for i := range 8 {
					body := ""
					if method == "POST" {
						body = callEcho
					}
					req := f.request(t, method, "/", body)
					req.Header.Set("Idempotency-Key", "k")
					res, text := f.do(t, req)
					if i%2 == 1 && (res.StatusCode != 502 || !strings.Contains(text, "may have been carried out")) || i%2 == 0 && res.StatusCode != 200 {
						t.Errorf("%d: %s, %s", i, res.Status, text)
					}
				}
				if n := calls.Load(); n != 8 {
					t.Errorf("the upstream was asked %d times for 8 requests", n)
				}
			})
		}
	}
}

func TestARequestThatHTTP2RefusesIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	url := refuseStreams(t, &asked)
	f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: "h2c"}}}, url)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		body := ""
		if method == "POST" {
			body = callEcho
		}
		asked.Store(0)
		if res, _ := f.do(t, f.request(t, method, "/", body)); res.StatusCode != 502 || asked.Load() != 1 {
			t.Errorf("%s: %s, asked %d times", method, res.Status, asked.Load())
		}
	}
}

// refuseStreams is an upstream of HTTP/2 that takes each request to its end and
// answers PROTOCOL_ERROR.
func refuseStreams(t *testing.T, asked *atomic.Int64) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_, _ = io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
				fr := http2.NewFramer(c, c)
				_ = fr.WriteSettings()
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					if h := f.Header(); h.Flags.Has(http2.FlagDataEndStream) && (h.Type == http2.FrameData || h.Type == http2.FrameHeaders) {
						asked.Add(1)
						_ = fr.WriteRSTStream(h.StreamID, http2.ErrCodeProtocol)
					}
				}
			})
		}
	})
	return "http://" + l.Addr().String()
}

func TestAnUpstreamThatDoesNotAnswerInTimeIsLate(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"1.1", "h2c"} {
		synctest.Test(t, func(t *testing.T) {
			cut := make(chan struct{})
			route := Route{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: protocol, Timeout: 20 * time.Second}
			f := inside(t, Options{Routes: []Route{route}}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				close(cut)
			})
			began := time.Now()
			res, body := f.do(t, f.request(t, "POST", "/", callEcho))
			if res.StatusCode != 504 || !strings.Contains(body, "in time") || time.Since(began) != route.Timeout {
				t.Errorf("%s: %s, %s, after %s", protocol, res.Status, body, time.Since(began))
			}
			if done := <-f.done; !done.Late || done.Status != 504 {
				t.Errorf("%s: told of %+v", protocol, done)
			}
			<-cut
		})
	}
}

func TestTheTimeLimitIsForTheHeaderAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, Options{Routes: []Route{{Path: "/", Allow: true, Timeout: time.Second}}}, "mcp.example", nobody)
		f.routes[0].upstreams[0].transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				_, _ = http.ReadRequest(bufio.NewReader(theirs))
				time.Sleep(time.Second - 1)
				_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				time.Sleep(time.Hour)
				_, _ = io.WriteString(theirs, "done")
			}()
			return ours, nil
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://mcp.example/", nil)
		r.Header.Set("Authorization", "Bearer "+canary)
		f.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != "done" {
			t.Errorf("%d, %q", w.Code, w.Body)
		}
		if err := f.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
