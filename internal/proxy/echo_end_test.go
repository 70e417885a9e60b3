package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// obliging is an answer's body that ends well as soon as nobody wants it any
// more. So do those of servers that end what they say when their client closes
// its connection in good order.
type obliging struct {
	said  *strings.Reader
	asked context.Context
}

func (o *obliging) Read(p []byte) (int, error) {
	if n, err := o.said.Read(p); err == nil {
		return n, nil
	}
	<-o.asked.Done()
	return 0, io.EOF
}

func (o *obliging) Close() error { return nil }

func TestAnswerThatEndsBecauseItWasCutIsNotWhole(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		origins := newOrigins(t)
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://api.test/v1"},
			upstream: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Request: r, Body: &obliging{strings.NewReader("data: one\n\n"), r.Context()}}, nil
			}),
		})
		res, err := w.client(client).Get("https://api.test/v1/stream")
		fatal(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, len("data: one\n\n")))
		fatal(t, err)
		w.proxy.cut() // as Shutdown does, which ends the client's connection too
		if rest, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s client: it ended well behind %q", client, rest)
		}
		res.Body.Close()
	}
}
