package gate

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// endless is an upstream whose streams say one event and never end by themselves.
// left is told of each that was cut.
func endless(t *testing.T, left chan<- string) string {
	t.Helper()
	return serve(t, endlessly(left)).URL
}

// endlessly is the handler of one.
func endlessly(left chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		left <- r.Method
	}
}

// TestStreamOfATokenThatIsOverEndsOverHTTP holds that the client sees a clean end,
// and the upstream that nobody listens any more.
func TestStreamOfATokenThatIsOverEndsOverHTTP(t *testing.T) {
	t.Parallel()
	for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: callEcho} {
		told := map[string]int{http.MethodPost: 1}[method] // that its call has no answer
		synctest.Test(t, func(t *testing.T) {
			left := make(chan string, 1)
			f := inside(t, Options{Verify: func(context.Context, string) (*verify.Caller, error) {
				c := somebody()
				c.Expires = time.Now().Add(10*time.Second - grace)
				return c, nil
			}}, endlessly(left))
			began := time.Now()
			res, said := f.do(t, f.request(t, method, "/", body))
			if res.StatusCode != http.StatusOK || !strings.HasPrefix(said, "data: 1\n\n") || strings.Count(said, "data: ") != 1+told || strings.Count(said, tokenOver.kind) != told || time.Since(began) != 10*time.Second {
				t.Errorf("%s: %d %q after %s", method, res.StatusCode, said, time.Since(began))
			}
			if got := <-left; got != method {
				t.Errorf("%s was cut, not %s", got, method)
			}
		})
	}
}

func TestDrainEndsHeldStreamsAndLeavesCalls(t *testing.T) {
	t.Parallel()
	left := make(chan string, 2)
	f := stand(t, Options{}, endless(t, left))
	open := func(method, body string) io.ReadCloser {
		res, err := f.client.Do(f.request(t, method, "/", body))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if b := make([]byte, len("data: 1\n\n")); true {
			if _, err := io.ReadFull(res.Body, b); err != nil {
				t.Fatal(err)
			}
		}
		return res.Body
	}
	held, call := open(http.MethodGet, ""), open(http.MethodPost, callEcho)
	ended := make(chan error, 1)
	go func() { ended <- f.Shutdown(t.Context()) }()
	if rest, err := io.ReadAll(held); err != nil || len(rest) != 0 {
		t.Errorf("the held stream: %q %v", rest, err)
	}
	if got := <-left; got != http.MethodGet {
		t.Errorf("%s was cut first", got)
	}
	select {
	case err := <-ended:
		t.Errorf("the gate did not wait for the call: %v", err)
	default:
	}
	call.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNothingIsServedBehindAHeldStream holds over HTTP/1, where a client could not
// tell what became of a call that it sent as the gate closed the connection.
func TestNothingIsServedBehindAHeldStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol, method string
		last             bool
	}{{"1.1", http.MethodGet, true}, {"1.1", http.MethodPost, false}, {"h2c", http.MethodGet, false}, {"h2c", http.MethodPost, false}} {
		synctest.Test(t, func(t *testing.T) {
			f := inside(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: 1\n\n")
			})
			transport := f.client.Transport.(*http.Transport)
			transport.Protocols.SetHTTP1(c.protocol == "1.1")
			transport.Protocols.SetUnencryptedHTTP2(c.protocol == "h2c")
			body := map[string]string{http.MethodPost: callEcho}[c.method]
			opened := 0
			trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
				if !got.Reused {
					opened++
				}
			}}
			for range 2 {
				req := f.request(t, c.method, "/", body)
				if res, said := f.do(t, req.WithContext(httptrace.WithClientTrace(t.Context(), trace))); said != "data: 1\n\n" || len(res.Header["Connection"]) > 0 && c.protocol == "h2c" {
					t.Errorf("%v: %s %q %v", c, res.Status, said, res.Header)
				}
				synctest.Wait()
			}
			if (opened == 2) != c.last {
				t.Errorf("%v: %d connections", c, opened)
			}
		})
	}
}

// TestHeldStreamIsAnnouncedAsOne holds that keep has its part in what goes
// downstream.
func TestHeldStreamIsAnnouncedAsOne(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{}, endless(t, make(chan string, 1)))
	res, err := f.client.Do(f.request(t, http.MethodGet, "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if r := <-f.done; !r.Stream || res.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(res.Header.Get("Cache-Control"), "no-transform") {
		t.Errorf("%v %v", r.Stream, res.Header)
	}
}
