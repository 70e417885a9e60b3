package retry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/token"
)

// answer sends the body to nowhere and answers with its status.
type answer struct {
	tok    token.Token
	status int
}

func (a answer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, struct{ io.Reader }{req.Body})
		req.Body.Close()
	}
	token.UseFrom(req.Context()).Token = a.tok
	return &http.Response{StatusCode: a.status, Body: http.NoBody}, nil
}

// BenchmarkAccepted is what the layer adds to a request that is not refused.
func BenchmarkAccepted(b *testing.B) {
	tok, _ := token.New("token", "bench", (token.Token{}).Expiry())
	for _, size := range []int{0, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rt := New(answer{tok, 200}, Options{BodyLimit: 8 << 20, Memory: replay.NewBudget(256 << 20)})
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequestWithContext(token.WithUse(context.Background(), new(token.Use)), "POST", "https://a.test/", nil)
				if size > 0 {
					req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(size)
				}
				rt.RoundTrip(req)
			}
		})
	}
}
