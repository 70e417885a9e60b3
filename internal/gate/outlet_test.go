package gate

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// talker is an upstream that never ends, in the content type that is asked for.
func talker(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("X-Type"))
	event := []byte("data: " + strings.Repeat("x", 4000) + "\n\n")
	for {
		if _, err := w.Write(event); err != nil {
			return
		}
	}
}

// TestAClientThatDoesNotReadIsLetGo holds that nobody keeps an answer open by not
// taking it: neither beyond the token's end, nor beyond a drain, nor for ever.
func TestAClientThatDoesNotReadIsLetGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, down, kind, method string
		expires                  time.Duration // of the token, from the beginning
		drain                    time.Duration // likewise; 0: none
		least, most              time.Duration // likewise, when it has to be over
	}{
		{"a stream, at the end of the token", "1.1", "text/event-stream", "GET", -30 * time.Second, 0, 30 * time.Second, 30*time.Second + lookAgain},
		{"a stream, at the end of the token", "h2c", "text/event-stream", "GET", -30 * time.Second, 0, 30 * time.Second, 30*time.Second + lookAgain},
		{"the stream of a call, at the end of the token", "1.1", "text/event-stream", "POST", -30 * time.Second, 0, 30 * time.Second, 30*time.Second + lookAgain},
		{"a stream, at last", "1.1", "text/event-stream", "GET", time.Hour, 0, stalled, stalled + lookAgain},
		{"an answer, at last", "1.1", "text/plain", "GET", -30 * time.Second, 0, stalled, stalled + lookAgain},
		{"an answer, at last", "h2c", "text/plain", "GET", -30 * time.Second, 0, stalled, stalled + lookAgain},
		{"a held stream, when the gate drains", "1.1", "text/event-stream", "GET", time.Hour, 20 * time.Second, 20 * time.Second, 20*time.Second + lookAgain},
		{"a held stream, when the gate drains", "h2c", "text/event-stream", "GET", time.Hour, 20 * time.Second, 20 * time.Second, 20*time.Second + lookAgain},
		{"the stream of a call, when the gate drains", "1.1", "text/event-stream", "POST", time.Hour, 20 * time.Second, stalled, stalled + lookAgain},
	} {
		t.Run(c.name+" "+c.down, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				f := inside(t, Options{Verify: func(context.Context, string) (*verify.Caller, error) {
					caller := somebody()
					caller.Expires = began.Add(c.expires)
					return caller, nil
				}}, talker)
				if c.down == "h2c" {
					protocols := f.client.Transport.(*http.Transport).Protocols
					protocols.SetHTTP1(false)
					protocols.SetUnencryptedHTTP2(true)
				}
				f.client.Timeout = 0
				body := ""
				if c.method == "POST" {
					body = callEcho
				}
				req := f.request(t, c.method, "/", body)
				req.Header.Set("X-Type", c.kind)
				res, err := f.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				down := make(chan error, 1)
				if c.drain > 0 {
					time.Sleep(c.drain)
					go func() { down <- f.Shutdown(context.Background()) }()
				}
				<-f.done
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("let go after %s, want %s to %s", took, c.least, c.most)
				}
				if c.drain > 0 {
					if _, err := io.Copy(io.Discard, res.Body); err == nil {
						t.Error("the answer was taken for whole")
					}
					if err := <-down; err != nil {
						t.Errorf("Shutdown: %v", err)
					}
				}
			})
		})
	}
}

// TestAClientThatReadsSlowlyIsServed holds that no time is counted but that of one
// write.
func TestAClientThatReadsSlowlyIsServed(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"", "65536"} {
		synctest.Test(t, func(t *testing.T) {
			f := inside(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<16))
			})
			f.client.Timeout = 0
			res, err := f.client.Do(f.request(t, "GET", "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			n := 0
			for err == nil {
				var m int
				time.Sleep(stalled / 20)
				m, err = res.Body.Read(make([]byte, 4096))
				n += m
			}
			if n != 1<<16 || err != io.EOF {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}
