package gate

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// noted is a connection that notes when this side closes it.
type noted struct {
	net.Conn
	once   sync.Once
	closed chan time.Time
}

func (c *noted) Close() error {
	c.once.Do(func() { c.closed <- time.Now() })
	return c.Conn.Close()
}

// TestAConnectionIsGivenUpBeforeTheServerDoes holds of HTTP/1.1, where a request
// that crosses the closing cannot be told from one that was carried out.
func TestAConnectionIsGivenUpBeforeTheServerDoes(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[string]time.Duration{"auto": idleUpstream, "1.1": idleUpstream, "h2c": idleStreams} {
		synctest.Test(t, func(t *testing.T) {
			f := inside(t, Options{Routes: []Route{{Path: "/", Allow: true, Protocol: protocol}}}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "done")
			})
			closed := make(chan time.Time, 10)
			transport := f.routes[0].upstreams[0].transport
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dial(ctx, network, address)
				return &noted{Conn: c, closed: closed}, err
			}
			f.do(t, f.request(t, "GET", "/", ""))
			answered := time.Now()
			if kept := (<-closed).Sub(answered); kept != want {
				t.Errorf("%s: kept for %s, want %s", protocol, kept, want)
			}
		})
	}
	if idleUpstream >= 2*time.Second {
		t.Errorf("gunicorn waits for 2 s, the gate for %s", idleUpstream)
	}
}

// TestLittleIsHeldForAClientThatDoesNotRead holds of what an upstream sends on.
func TestLittleIsHeldForAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"1.1", "h2c"} {
		synctest.Test(t, func(t *testing.T) {
			var written atomic.Int64
			f := inside(t, Options{Routes: []Route{{Path: "/", Allow: true, Protocol: protocol}}}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				event := []byte("data: " + strings.Repeat("x", 4000) + "\n\n")
				for {
					n, err := w.Write(event)
					if err == nil {
						err = http.NewResponseController(w).Flush()
					}
					if err != nil {
						return
					}
					written.Add(int64(n))
				}
			})
			ctx, leave := context.WithCancel(t.Context())
			r := httptest.NewRequestWithContext(ctx, "GET", "http://mcp.example/", nil)
			r.Header.Set("Authorization", "Bearer "+canary)
			w := &stuck{informed: informed{header: http.Header{}}, until: ctx.Done()}
			served := make(chan struct{})
			go func() {
				defer close(served)
				aborts(t, func() { f.ServeHTTP(w, r) })
			}()
			synctest.Wait()
			if n := written.Load(); n > streamBuffer+64<<10 {
				t.Errorf("%s: the upstream has sent %d bytes to a client that took none", protocol, n)
			}
			leave()
			<-served
		})
	}
}

// stuck is a client that takes the header and nothing behind it.
type stuck struct {
	informed
	until <-chan struct{}
}

func (w *stuck) Write([]byte) (int, error) { <-w.until; return 0, io.ErrClosedPipe }
func (w *stuck) FlushError() error         { return nil }
