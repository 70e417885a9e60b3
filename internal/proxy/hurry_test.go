package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
)

// A client that does not end its request hears an answer of the proxy's own all
// the same: at once where somebody has waited for the rest, else a little later.
func TestOwnAnswerWaitsForNoUpload(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	authority := origins.start(t, "h1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "second") })
	for _, waits := range []bool{true, false} {
		read := make(chan error, 1)
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://" + authority + "/own"},
			route: func(string, http.RoundTripper) http.RoundTripper {
				return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					if waits {
						go func() {
							_, err := io.Copy(io.Discard, r.Body)
							read <- err
						}()
						for body := r.Body.(*bodyWatch); body.waiting.Load() == 0; {
							runtime.Gosched()
						}
					}
					return nil, &Answer{Status: http.StatusBadGateway, Type: "own", Title: "T", Detail: "D", Hint: "H"}
				})
			},
		})
		for _, frame := range []string{"Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\na\r\n12345"} {
			t.Run(fmt.Sprint(waits, frame[:1]), func(t *testing.T) {
				t.Parallel() // net/http waits for the rest of the request
				c := w.tlsTo(authority, "http/1.1")
				r := rawHTTP1(t, c, "POST", fmt.Sprintf("POST /own HTTP/1.1\r\nHost: %s\r\n%s", authority, frame))
				wantAnswer(t, r, 502, "own")
				if waits {
					if err := <-read; err == nil {
						t.Error("the body that has not ended was read to its end")
					}
				}
				// What the client says now is the rest of its request, or too late.
				fmt.Fprintf(c, "67890GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n", authority)
				if b, err := bufio.NewReader(c).ReadByte(); err == nil {
					t.Errorf("behind the answer: %q", b)
				}
			})
		}
	}
}

// The rest of a request that was answered meanwhile is read, and the connection
// carries the next.
func TestConnectionStaysAfterAnOwnAnswer(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	authority := origins.start(t, "h1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "second") })
	w := newWorld(t, origins, worldOptions{
		prefixes: []string{"https://" + authority + "/own"},
		route: func(string, http.RoundTripper) http.RoundTripper {
			return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				return nil, &Answer{Status: http.StatusBadGateway, Type: "own", Title: "T", Detail: "D", Hint: "H"}
			})
		},
	})
	c := w.tlsTo(authority, "http/1.1")
	answers := bufio.NewReader(c)
	for range 2 {
		fmt.Fprintf(c, "POST /own HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n1234567890", authority)
		if r := readReply(t, answers, "POST"); r.status != 502 || r.header.Get("Connection") != "" {
			t.Errorf("%d, %v", r.status, r.header)
		}
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", authority)
	if r := readReply(t, answers, "GET"); r.status != 200 || r.body != "second" {
		t.Errorf("%d %q", r.status, r.body)
	}
}
