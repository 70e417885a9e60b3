package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// routesOf are a route that decides and one that does not, to an upstream of that
// protocol.
func routesOf(protocol string) []Route {
	return []Route{
		{Path: "/judged", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: protocol},
		{Path: "/plain", Allow: true, Protocol: protocol},
	}
}

// everyWay runs a test for each way through the gate.
func everyWay(t *testing.T, h http.HandlerFunc, test func(*testing.T, *front, string)) {
	t.Parallel()
	for _, wire := range wires {
		for _, path := range []string{"/judged", "/plain"} {
			t.Run(fmt.Sprint(wire, path), func(t *testing.T) {
				t.Parallel()
				test(t, stand(t, Options{Routes: routesOf(wire.up)}, serveBoth(t, h).URL).over(t, wire.down), path)
			})
		}
	}
}

func TestASilentStreamOpensAtOnceAndEachEventPasses(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		_ = rc.Flush()
		in, _ := io.ReadAll(r.Body)
		for i := range 3 {
			select {
			case <-r.Context().Done():
				return
			case <-pace(r):
			}
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"m%d\",\"params\":[%d]}\n\n", i, len(in))
			_ = rc.Flush()
		}
	}, func(t *testing.T, f *front, path string) {
		next := newPace(t)
		req := f.request(t, "GET", path, "")
		req.Header.Set("X-Pace", next.name)
		res, err := f.client.Do(req) // it returns before the first event
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" || res.ContentLength != -1 {
			t.Errorf("the header is %v", res.Header)
		}
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			next.proceed <- struct{}{}
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"method\":\"m%d\",\"params\":[0]}\n", i); err != nil || line != want {
				t.Fatalf("got %q, %v; want %q", line, err, want)
			}
			_, _ = lines.ReadString('\n')
		}
		if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
			t.Errorf("the end is %q, %v", rest, err)
		}
		if done := <-f.done; !done.Stream || done.Bytes == 0 || done.Answered.IsZero() || done.Late {
			t.Errorf("told of %+v", done)
		}
	})
}

func TestAClientThatLeavesCancelsTheUpstream(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if r.Method == "GET" {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
		}
		<-pace(r)
		<-r.Context().Done()
		<-pace(r)
	}, func(t *testing.T, f *front, path string) {
		for _, method := range []string{"GET", "POST"} { // within an answer, and before it
			next := newPace(t)
			ctx, leave := context.WithCancel(t.Context())
			body := ""
			if method == "POST" {
				body = callEcho
			}
			req := f.request(t, method, path, body).WithContext(ctx)
			req.Header.Set("X-Pace", next.name)
			left, opened := make(chan error, 1), make(chan struct{})
			go func() {
				res, err := f.client.Do(req)
				close(opened)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				left <- err
			}()
			next.proceed <- struct{}{} // the upstream has been asked
			if method == "GET" {
				<-opened
			}
			leave()
			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Errorf("%s ended with %v", method, err)
			}
			next.proceed <- struct{}{} // it knows that nobody waits
			if done := <-f.done; done.Late != (method == "POST") || method == "POST" && done.Status != 0 {
				t.Errorf("%s: told of %+v", method, done)
			}
		}
	})
}

func TestAnAnswerThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.Header.Get("X-Type"))
		if n := r.Header.Get("X-Length"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		_, _ = io.WriteString(w, "data: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-pace(r)
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, f *front, path string) {
		for _, kind := range []string{"text/event-stream", "text/plain", "text/plain 100"} {
			next := newPace(t)
			req := f.request(t, "GET", path, "")
			media, length, _ := strings.Cut(kind, " ")
			req.Header["X-Type"], req.Header["X-Length"], req.Header["X-Pace"] = []string{media}, []string{length}, []string{next.name}
			res, err := f.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, len("data: {}\n\n"))
			if _, err := io.ReadFull(res.Body, first); err != nil {
				t.Errorf("%s: %v before the upstream broke off", kind, err)
			}
			next.proceed <- struct{}{}
			if rest, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("%s ended well behind %q, %q", kind, first, rest)
			}
			res.Body.Close()
		}
	})
}

func TestAnAnswerToHTTP10ThatBreaksOffIsReset(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
	})
	f := stand(t, Options{}, upstream.URL)
	for path, whole := range map[string]bool{"/whole": true, "/broken": false} {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.0\r\nHost: "+strings.TrimPrefix(f.url, "http://")+"\r\nAuthorization: Bearer "+canary+"\r\n\r\n")
		if got, err := io.ReadAll(c); (err == nil) != whole || whole && !strings.HasSuffix(string(got), "\r\n\r\nsome") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestTrailersOfAnAnswerPass(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "4")
		w.Header().Set(http.TrailerPrefix+"X-Late", "5")
	}, func(t *testing.T, f *front, path string) {
		if res, body := f.do(t, f.request(t, "GET", path, "")); body != "body" || res.Trailer.Get("X-Sum") != "4" || res.Trailer.Get("X-Late") != "5" {
			t.Errorf("%q, %v", body, res.Trailer)
		}
	})
}

func TestInformationalAnswersPass(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusNoContent)
	}, func(t *testing.T, f *front, path string) {
		req, early := earlyHints(f.request(t, "GET", path, ""))
		res, _ := f.do(t, req)
		if res.StatusCode != 204 || len(res.Header["Link"]) > 0 || *early != "</style.css>; rel=preload" {
			t.Errorf("%s, %v, before it %q", res.Status, res.Header, *early)
		}
	})
}

// BenchmarkFirstEvent is from the upstream's writing of the first event of a
// stream to its reading by the client.
func BenchmarkFirstEvent(b *testing.B) {
	for _, protocol := range []string{"1.1", "h2c"} {
		b.Run(protocol, func(b *testing.B) {
			written := make(chan time.Time, 1)
			ask := make(chan struct{})
			upstream := serveBoth(b, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				rc := http.NewResponseController(w)
				_ = rc.Flush()
				<-ask
				written <- time.Now()
				_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n")
				_ = rc.Flush()
				<-r.Context().Done()
			})
			f := stand(b, Options{Routes: routesOf(protocol)}, upstream.URL).over(b, protocol)
			var total, worst time.Duration
			for b.Loop() {
				ctx, leave := context.WithCancel(b.Context())
				res, err := f.client.Do(f.request(b, "GET", "/judged", "").WithContext(ctx))
				if err != nil {
					b.Fatal(err)
				}
				ask <- struct{}{}
				if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
					b.Fatal(err)
				}
				took := time.Since(<-written)
				total, worst = total+took, max(worst, took)
				leave()
				res.Body.Close()
			}
			b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/event")
			b.ReportMetric(float64(worst.Nanoseconds()), "ns/worst")
		})
	}
}
