package retry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

var errClient = errors.New("the client's connection broke")

func TestBodyThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		whole := make(chan error, 2)
		srv := serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err
			deny(w)
		})
		r := newRoute(t, srv)
		body, client := io.Pipe()
		go func() {
			io.WriteString(client, "half of")
			client.CloseWithError(errClient)
		}()
		req, _ := r.request("POST", body)
		resp, err := r.chain.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
			t.Fatal("half a body was answered")
		}
		if !errors.Is(err, errClient) {
			t.Errorf("error %v hides the client's", err)
		}
		if err := <-whole; err == nil {
			t.Error("the upstream took half a body for the whole")
		}
		r.released()
	})
}

func TestHalfABodyIsNotReplayed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		var hits atomic.Int32
		r := newRoute(t, serve(t, proto, refuseAfter(4, &hits)))
		body, client := io.Pipe()
		r.mint.give = func(_ context.Context, n int) (string, error) {
			if n == 2 {
				client.CloseWithError(errClient)
			}
			return []string{"token-1", "token-2"}[n-1], nil
		}
		go io.WriteString(client, "half")
		req, use := r.request("POST", body)
		resp, err := r.chain.RoundTrip(req)
		// The break is seen before the second attempt begins, or by it.
		if err == nil {
			want(t, "status", resp.StatusCode, 401)
			want(t, "outcome", use.Retry, "body broken")
			wantWhy(t, use, "the body broke off")
			resp.Body.Close()
		} else if !errors.Is(err, errClient) {
			t.Errorf("error %v hides the client's", err)
		}
		r.released()
	})
}
