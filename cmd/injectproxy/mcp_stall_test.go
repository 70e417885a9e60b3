package main

import (
	"io"
	"net/http"
	"testing"
)

// A client that never ends its message is told all the same.
func TestMessageWithoutEndHoldsNoAnswerBack(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, without(o))
	begun := `{"jsonrpc":"2.0","id":1,`
	for name, frame := range map[string]string{"declared": "Content-Length: 1000\r\n\r\n" + begun, "chunked": "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + begun} {
		t.Run("h1 "+name, func(t *testing.T) {
			t.Parallel()
			r, err := b.raw(o.authority, "POST /mcp HTTP/1.1\r\nHost: "+o.authority+"\r\nAccept: "+streamable+"\r\n"+frame)
			must(t, err)
			r.problem(t, http.StatusBadGateway)
		})
	}
	for name, length := range map[string]int64{"declared": 1000, "chunked": -1} {
		t.Run("h2 "+name, func(t *testing.T) {
			t.Parallel()
			body, feed := io.Pipe()
			defer feed.Close()
			req, err := http.NewRequestWithContext(t.Context(), "POST", o.url("/mcp"), body)
			must(t, err)
			req.ContentLength = length
			req.Header.Set("Accept", streamable)
			go io.WriteString(feed, begun)
			send(t, b.client("h2"), req).problem(t, http.StatusBadGateway)
		})
	}
}
