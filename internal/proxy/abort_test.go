package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRuleTimeoutBoundsTheWaitForAnAnswer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		reached, left := make(chan struct{}, 1), make(chan struct{}, 1)
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", upstream, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reached <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		}))
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://" + api + "/v1"},
			route: func(_ string, next http.RoundTripper) http.RoundTripper {
				return WithTimeout(next, 50*time.Millisecond)
			},
		})
		res, body := get(t, w.client(client), "https://"+api+"/v1/hang")
		wantAnswer(t, reply{status: res.StatusCode, header: res.Header, body: body}, 504, "upstream-timeout")
		select {
		case <-reached:
			expect(t, "requests whose end the upstream saw", left, 1)
		default: // the time was over before the request got there
		}
	})
}

func TestRuleTimeoutDoesNotBoundTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		next := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second - 1)
			context.AfterFunc(r.Context(), func() { ended = true })
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("slow"))}, nil
		})
		res, err := WithTimeout(next, time.Second).RoundTrip(httptest.NewRequest("GET", "https://api.test/", nil))
		fatal(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		if ended {
			t.Error("the request was ended while its body was read")
		}
		fatal(t, res.Body.Close())
		synctest.Wait()
		if !ended {
			t.Error("the request was not ended with its body")
		}
	})
}

// What breaks off upstream breaks off downstream: it never ends cleanly.
func TestAbortOfTheUpstreamIsNoCleanEnd(t *testing.T) {
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", upstream, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/length" {
				w.Header().Set("Content-Length", "100")
			}
			io.WriteString(w, strings.Repeat("x", 50))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
		for _, path := range []string{"/v1/length", "/v1/chunked", "/v2/chunked"} {
			res, err := w.client(client).Get("https://" + api + path)
			if err != nil {
				continue // it broke off before the header got through
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil {
				t.Errorf("%s: a clean end behind %d bytes", path, len(b))
			}
		}
	})
}

// Nor does what the network cuts.
func TestCutConnectionIsNoCleanEnd(t *testing.T) {
	for name, head := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			origins := newOrigins(t)
			cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}}
			l := serve(t, listenLoopback(t), func(c net.Conn) {
				tc := tls.Server(c, cfg)
				tc.Read(make([]byte, 4096))
				io.WriteString(tc, head+"hello")
				c.Close() // without the alert that ends TLS
			})
			_, port, _ := net.SplitHostPort(l.Addr().String())
			api := "api.test:" + port
			w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
			for _, client := range []string{"h1", "h2"} {
				res, err := w.client(client).Get("https://" + api + "/v1/x")
				if err != nil {
					continue
				}
				if res.StatusCode == 200 {
					if b, err := io.ReadAll(res.Body); err == nil {
						t.Errorf("%s client: a clean end behind %q", client, b)
					}
				}
				res.Body.Close()
			}
		})
	}
}

// The client's own fault is not the upstream's.
func TestMalformedBodyOfTheClientIs400(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		w := newWatched(t, upstream)
		for _, body := range []string{"zz\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\nxx\r\n", "5\r\nhelloXX\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n"} {
			for _, path := range []string{"/v1/x", "/v2/x"} {
				raw := request1("POST", path, []string{"Host: " + w.authority, "Transfer-Encoding: chunked"}, body)
				wantAnswer(t, rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), "POST", raw), 400, "malformed-request")
			}
		}
		for _, s := range w.upstream.take() {
			if s.bodyErr == nil {
				t.Errorf("%s upstream saw a whole request: %+v", upstream, s)
			}
		}
	}
}

func TestMalformedBodyOfAPlainRequestIs400(t *testing.T) {
	upstream := new(recorder)
	l := listenLoopback(t)
	s := &http.Server{Handler: upstream}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	w := newWorld(t, newOrigins(t), worldOptions{})
	raw := request1("POST", "http://"+l.Addr().String()+"/", []string{"Host: x", "Transfer-Encoding: chunked"}, "zz\r\n")
	wantAnswer(t, rawHTTP1(t, w.door(), "POST", raw), 400, "malformed-request")
}

// A panic in a route ends its request and nothing else.
func TestPanicFailsOneRequest(t *testing.T) {
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		origins, seen := newOrigins(t), new(recorder)
		api := origins.startUpstream(t, "api.test", upstream, seen)
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://" + api + "/v1"},
			route: func(prefix string, next http.RoundTripper) http.RoundTripper {
				return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/v1/panic" {
						panic("a bug")
					}
					return attachToken(prefix, next).RoundTrip(r)
				})
			},
		})
		c := w.client(client)
		if res, err := c.Post("https://"+api+"/v1/panic", "", bytes.NewBufferString("x")); err == nil {
			res.Body.Close()
			if res.StatusCode < 500 {
				t.Errorf("status %d", res.StatusCode)
			}
		}
		for _, c := range []*http.Client{c, w.client("h1"), w.client("h2")} {
			if res, _ := get(t, c, "https://"+api+"/v1/x"); res.StatusCode != 200 {
				t.Errorf("after the panic: status %d", res.StatusCode)
			}
		}
		if n := len(seen.take()); n != 3 {
			t.Errorf("upstream saw %d requests, want 3", n)
		}
	})
}
