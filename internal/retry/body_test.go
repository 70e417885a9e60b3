package retry_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
)

// refuseAfter refuses the first token once it has read so much of the body, and
// answers the second with the body's hash.
func refuseAfter(read int64, hits *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if bearer(r) == "token-2" {
			only("token-2")(w, r)
			return
		}
		early(w, r)
		io.CopyN(io.Discard, r.Body, read)
		deny(w)
		http.NewResponseController(w).Flush()
		io.Copy(io.Discard, r.Body)
	}
}

// early lets an HTTP/1 server answer before it has read the body. Its handler
// has to read the rest (net/http panics if it is found after the handler).
func early(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		http.NewResponseController(w).EnableFullDuplex()
	}
}

func TestRefusedRequestIsSentOnceMoreWithItsWholeBody(t *testing.T) {
	t.Parallel()
	bodies := []struct {
		name    string
		size    int
		chunked bool
	}{
		{"empty", 0, false}, {"empty chunked", 0, true},
		{"1 KiB", 1 << 10, false}, {"1 KiB chunked", 1 << 10, true},
		{"300 KiB", 300 << 10, false}, {"300 KiB chunked", 300 << 10, true},
		{"exactly the limit", bodyLimit, false}, {"exactly the limit chunked", bodyLimit, true},
	}
	both(t, func(t *testing.T, proto string) {
		for _, body := range bodies {
			for _, read := range []int{0, body.size / 2, body.size + 1} {
				t.Run(body.name, func(t *testing.T) {
					var hits atomic.Int32
					r := newRoute(t, serve(t, proto, refuseAfter(int64(read), &hits)))
					data, sum := content(body.size)
					var reader io.Reader = bytes.NewReader(data)
					if body.chunked {
						reader = stream{reader}
					}
					status, answer, use := r.do("POST", reader)
					want(t, "status", status, 200)
					want(t, "hash of the body that arrived", answer, sum)
					want(t, "requests upstream", hits.Load(), 2)
					want(t, "attempts", use.Attempts, 2)
					want(t, "outcome", use.Retry, "healed")
					wantWhy(t, use, "")
					asks := r.mint.asked()
					want(t, "acquisitions", len(asks), 2)
					want(t, "refused token", asks[len(asks)-1].Rejected.Reveal(), "token-1")
					r.released()
				})
			}
		}
	})
}

func TestBodyAboveTheLimitPassesTheRefusalThrough(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		both(t, func(t *testing.T, proto string) {
			r := newRoute(t, serve(t, proto, only("token-2")))
			data, _ := content(bodyLimit + 1)
			var reader io.Reader = bytes.NewReader(data)
			if chunked {
				reader = stream{reader}
			}
			status, answer, use := r.do("POST", reader)
			want(t, "status", status, 401)
			want(t, "the upstream's own answer", answer, "denied\n")
			want(t, "attempts", use.Attempts, 1)
			want(t, "outcome", use.Retry, "body too large")
			wantWhy(t, use, "larger than retry.body_limit")
			r.released()
			counted := map[string]int64{}
			for name, n := range r.stats.All() {
				counted[name] = n
			}
			want(t, "counted", counted["body too large"], 1)
			if !strings.Contains(r.log.String(), `outcome="body too large"`) {
				t.Errorf("the log does not say why: %s", r.log)
			}
			// The client's own second try finds another token.
			status, _, _ = r.do("POST", bytes.NewReader(data))
			want(t, "status of the request after", status, 200)
			want(t, "acquisitions", len(r.mint.asked()), 2)
		})
	}
}

func TestLimitOfAnUndeclaredBodyIsWhatWasSentWhenTheRefusalCame(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		var hits atomic.Int32
		r := newRoute(t, serve(t, proto, refuseAfter(1<<10, &hits)))
		data, sum := content(3 * bodyLimit)
		body, client := io.Pipe()
		refused := make(chan struct{})
		r.mint.give = func(_ context.Context, n int) (string, error) {
			if n == 2 {
				close(refused)
			}
			return []string{"token-1", "token-2"}[n-1], nil
		}
		go func() {
			client.Write(data[:1<<10])
			<-refused
			client.Write(data[1<<10:])
			client.Close()
		}()
		status, answer, use := r.do("POST", body)
		want(t, "status", status, 200)
		want(t, "hash of the body that arrived", answer, sum)
		want(t, "outcome", use.Retry, "healed")
		r.released()
	})
}

func TestBodyBeyondTheMemoryOfAllPassesTheRefusalThrough(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		held, answer := make(chan struct{}), make(chan struct{})
		srv := serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			if bearer(r) == "token-1" && r.Header.Get("X-First") != "" {
				io.Copy(io.Discard, r.Body)
				close(held)
				<-answer
				deny(w)
				return
			}
			if bearer(r) == "token-1" {
				io.Copy(io.Discard, r.Body)
				deny(w)
				return
			}
			only("token-2")(w, r)
		})
		r := newRoute(t, srv, func(_ *route, o *retry.Options, _ *inject.Options) {
			o.Memory = replay.NewBudget(300 << 10)
		})
		data, sum := content(256 << 10)
		first, use := r.request("POST", bytes.NewReader(data))
		first.Header.Set("X-First", "yes")
		done := make(chan struct{})
		go func() {
			defer close(done)
			status, got := r.send(first)
			want(t, "status of the first", status, 200)
			want(t, "hash of the first", got, sum)
			want(t, "outcome of the first", use.Retry, "healed")
		}()
		<-held
		status, _, second := r.do("POST", bytes.NewReader(data))
		want(t, "status of the second", status, 401)
		want(t, "outcome of the second", second.Retry, "memory budget")
		wantWhy(t, second, "retry.memory had no room")
		close(answer)
		<-done
		r.released()
	})
}

func TestManyUploadsGiveAllMemoryBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		r := newRoute(t, serve(t, proto, only("token-2")), func(_ *route, o *retry.Options, _ *inject.Options) {
			o.Memory = replay.NewBudget(1 << 20)
		})
		data, sum := content(200 << 10)
		done := make(chan bool)
		const uploads = 16
		for i := range uploads {
			go func() {
				var reader io.Reader = bytes.NewReader(data)
				if i%2 == 0 {
					reader = stream{reader}
				}
				status, answer, _ := r.do("POST", reader)
				done <- status == 401 || status == 200 && answer == sum
			}()
		}
		for range uploads {
			want(t, "the upstream's refusal or the whole body", <-done, true)
		}
		r.released()
	})
}

func TestMemoryIsFreeWhenTheAnswerComesNotWhenTheStreamEnds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			early(w, r)
			io.CopyN(io.Discard, r.Body, 5)
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
			io.Copy(w, r.Body)
		})
		r := newRoute(t, srv)
		body, client := io.Pipe()
		req, _ := r.request("POST", body)
		go io.WriteString(client, "hello")
		resp, err := r.chain.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		r.released()
		data, sum := content(3 * bodyLimit)
		go func() {
			client.Write(data)
			client.Close()
		}()
		got, err := hash(resp.Body)
		want(t, "error of the stream", err, nil)
		want(t, "hash of what was streamed", got, sum)
		r.released()
	})
}

func TestBytesOfAReadUnderWayBelongToTheReplay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		second := make(chan struct{})
		srv := serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			if bearer(r) == "token-2" {
				close(second) // the client is still silent, so a read is under way
				only("token-2")(w, r)
				return
			}
			refuseAfter(6, new(atomic.Int32))(w, r)
		})
		r := newRoute(t, srv)
		body, client := io.Pipe()
		go func() {
			io.WriteString(client, "begun,")
			<-second
			io.WriteString(client, "finished")
			client.Close()
		}()
		sum, _ := hash(strings.NewReader("begun,finished"))
		status, answer, _ := r.do("POST", body)
		want(t, "status", status, 200)
		want(t, "hash of the body that arrived", answer, sum)
		r.released()
	})
}
