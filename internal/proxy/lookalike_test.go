package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"testing"
)

// An upstream may well say what net/http says in a refusal of its own.
func TestBodyThatLooksLikeARefusalIsABody(t *testing.T) {
	t.Parallel()
	const body = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	for _, way := range []string{"intercepted", "plain http"} {
		t.Run(way, func(t *testing.T) {
			began := make(chan struct{}, 1)
			w, url := socketWorld(t, way, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				flush(w)
				<-began
				io.WriteString(w, body)
			}))
			c, target := w.openFor(t, url)
			answers := bufio.NewReader(c)
			for range 2 {
				io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+hostOf(url)+"\r\n\r\n")
				res, err := http.ReadResponse(answers, nil)
				fatal(t, err)
				began <- struct{}{}
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != body {
					t.Fatalf("body %q, %v", got, err)
				}
			}
			// A refusal of net/http's is still one that tells what is wrong.
			io.WriteString(c, "GET / HTTP/1.1\r\nbad\r\n\r\n")
			wantAnswer(t, readReply(t, answers, "GET"), 400, "malformed-request")
		})
	}
}
