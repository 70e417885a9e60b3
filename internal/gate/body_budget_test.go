package gate

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// TestCallersTakeTheirShareOfBodiesAndNoMore holds of those who send bodies that
// do not end: there is still room for others, and for them once they are done.
func TestCallersTakeTheirShareOfBodiesAndNoMore(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		synctest.Test(t, func(t *testing.T) {
			f := inside(t, Options{PublicURL: urls(t, "http://mcp.example")[0], Routes: []Route{{Path: "/", Mode: Optional, Protocol: wire.up, Tools: []Grant{{Pattern: "echo"}}}}},
				func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
			speaks := f.client.Transport.(*http.Transport).Protocols
			speaks.SetHTTP1(wire.down == "1.1")
			speaks.SetUnencryptedHTTP2(wire.down == "h2c")
			f.bodies.share, f.bodies.total = 3<<10, 100<<10
			send := func(token string, body io.Reader, length int64) int {
				req := f.request(t, "POST", "/", "{}")
				req.Body, req.ContentLength = io.NopCloser(body), length
				if req.Header.Set("Authorization", token); token == "" {
					req.Header.Del("Authorization")
				}
				res, said := f.do(t, req)
				if res.StatusCode == http.StatusServiceUnavailable && (res.Header.Get("Retry-After") == "" || !strings.Contains(said, "messages")) {
					t.Errorf("%s: %v %s", wire.down, res.Header, said)
				}
				return res.StatusCode
			}
			whole := callEcho + strings.Repeat(" ", 1<<10)
			ended := make(chan int, 2)
			var ends []*io.PipeWriter
			for range 2 {
				from, to := io.Pipe()
				go func() { ended <- send("", from, int64(len(whole))) }()
				_, _ = io.WriteString(to, whole[:len(whole)-1])
				ends = append(ends, to)
			}
			synctest.Wait()
			for _, length := range []int64{int64(len(whole)), -1} {
				if got := send("", strings.NewReader(whole), length); got != http.StatusServiceUnavailable {
					t.Errorf("%s: beyond the share of those without a token: %d", wire.down, got)
				}
				if got := send("Bearer "+canary, strings.NewReader(whole), length); got != http.StatusAccepted && length > 0 {
					t.Errorf("%s: another caller gets %d", wire.down, got)
				}
			}
			for _, end := range ends {
				_, _ = io.WriteString(end, " ")
				end.Close()
				if got := <-ended; got != http.StatusAccepted {
					t.Errorf("%s: a body that found room: %d", wire.down, got)
				}
			}
			synctest.Wait()
			if got := send("", strings.NewReader(whole), int64(len(whole))); got != http.StatusAccepted {
				t.Errorf("%s: once there is room again: %d", wire.down, got)
			}
			synctest.Wait()
			if f.bodies.held != 0 || len(f.bodies.by) != 0 {
				t.Errorf("%s: %d bytes are held by %v", wire.down, f.bodies.held, f.bodies.by)
			}
		})
	}
}

func TestBudgetBoundsACallerAndAll(t *testing.T) {
	t.Parallel()
	b := newBudget(8 << 20)
	if b.share != 64<<20 || b.total != 256<<20 {
		t.Errorf("a share of %d in %d", b.share, b.total)
	}
	if large := newBudget(1 << 30); large.share < 2<<30 || large.total < 4*large.share {
		t.Errorf("with large bodies a share of %d in %d", large.share, large.total)
	}
	for i := range 4 {
		who := binding.Owner{Tenant: "t", Object: fmt.Sprint(i)}
		if !b.take(who, b.share-1) || b.take(who, 2) || !b.take(who, 1) {
			t.Errorf("caller %d has %d", i, b.by[who])
		}
	}
	if b.take(binding.Owner{Tenant: "t", Object: "x"}, 1) {
		t.Error("more than all was taken")
	}
	b.give(binding.Owner{Tenant: "t", Object: "0"}, 1)
	if b.take(binding.Owner{Tenant: "t", Object: "1"}, 1) || !b.take(binding.Owner{}, 1) {
		t.Error("what was given back is another's")
	}
}

// TestABodyThatTricklesIsNotWaitedFor holds of a message, which is held while it
// comes: its bytes earn it time, and few of them little. What passes through may
// take its time.
func TestABodyThatTricklesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		path   string
		piece  int
		every  time.Duration
		status int
		within time.Duration
	}{
		{"POST", "/judged", 1, 20 * time.Second, http.StatusRequestTimeout, bodyPatience},
		{"POST", "/judged", 40 << 10, 20 * time.Second, http.StatusRequestTimeout, 2 * bodyPatience},
		{"POST", "/judged", 40 << 10, time.Second, http.StatusAccepted, 2 * time.Minute},
		{"PUT", "/plain", 1, 20 * time.Second, http.StatusAccepted, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := inside(t, Options{PublicURL: urls(t, "http://mcp.example")[0], Routes: routesOf("1.1")}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusAccepted)
			})
			body := callEcho + strings.Repeat(" ", 100*c.piece)
			from, to := io.Pipe()
			req := f.request(t, c.method, c.path, "{}")
			req.Body, req.ContentLength = from, int64(len(body))
			f.client.Timeout = 0
			var talking sync.WaitGroup
			talking.Go(func() {
				defer to.Close()
				for rest := body; rest != ""; {
					n, err := io.WriteString(to, rest[:min(c.piece, len(rest))])
					if rest = rest[n:]; err != nil {
						return
					}
					time.Sleep(c.every)
				}
			})
			began := time.Now()
			res, said := f.do(t, req)
			took := time.Since(began)
			from.Close()
			talking.Wait()
			if res.StatusCode != c.status || took > c.within {
				t.Errorf("%d bytes each %s: %d after %s, %s", c.piece, c.every, res.StatusCode, took, said)
			}
		})
	}
}
