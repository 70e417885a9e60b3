package session

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

// BenchmarkMessage is what the layer adds to a message that is answered: in a
// session that is well, in one that was replaced, and in none.
func BenchmarkMessage(b *testing.B) {
	for _, name := range []string{"well", "replaced", "sessionless"} {
		b.Run(name, func(b *testing.B) {
			srv, book := new(memoryServer), NewBook()
			defer book.Close()
			next := roundTrip(func(req *http.Request) (*http.Response, error) {
				io.Copy(io.Discard, req.Body)
				req.Body.Close()
				return answerWith(req, 200, "", "{}"), nil
			})
			o := Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20), Light: time.Minute}
			rt := New(srv, o)
			send := func(rt http.RoundTripper, id, body string) string {
				req, _ := http.NewRequest("POST", "https://mcp.test/mcp", strings.NewReader(body))
				req.Header = http.Header{"Content-Type": {"application/json"}, headerSession: {id}}
				if name == "sessionless" {
					req.Header[headerVersion] = []string{firstSessionless}
				}
				if id == "" {
					delete(req.Header, headerSession)
					delete(req.Header, headerVersion)
				}
				res, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				return res.Header.Get(headerSession)
			}
			id := send(rt, "", aBeginning)
			if name == "replaced" {
				srv.live = ""
				send(rt, id, aCall)
			}
			if name == "sessionless" {
				id = "none"
			}
			rt = New(next, o)
			b.ReportAllocs()
			for b.Loop() {
				send(rt, id, aCall)
			}
		})
	}
}
