package gate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// everyone lets in who shows a token of the form name-of-a-user, which is theirs.
func everyone(_ context.Context, token string) (*verify.Caller, error) {
	name, ok := strings.CutSuffix(token, "-of-a-user")
	if !ok {
		return nil, &verify.Invalid{Reason: "signature"}
	}
	return &verify.Caller{Tenant: "tenant", Object: name, Scopes: []string{"use"}, Expires: time.Now().Add(time.Hour)}, nil
}

// TestExchangedTokensOfTwoUsersNeverCrossOnOneConnection holds for calls at once,
// over HTTP/2, and for one after the other, while tokens are replaced.
func TestExchangedTokensOfTwoUsersNeverCrossOnOneConnection(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		t.Run(fmt.Sprint(wire), func(t *testing.T) {
			t.Parallel()
			office := new(bureau)
			var calls atomic.Int64
			upstream := serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if calls.Add(1) > 50 && strings.HasSuffix(r.Header.Get("Authorization"), "-0") {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("X-As", strings.Replace(r.Header.Get("Authorization"), "given-", "", 1)) // the token itself would stay behind
				w.Header().Set("X-Oid", r.Header.Get("X-Who"))
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
			})
			routes := behalf(wire.up, office)
			for i := range routes {
				routes[i].Identity = []IdentityHeader{{"X-Who", "oid"}}
			}
			f := stand(t, Options{Routes: routes, Verify: everyone}, upstream.URL).over(t, wire.down)
			f.client.Transport.(*http.Transport).MaxConnsPerHost = 1
			var all sync.WaitGroup
			for _, name := range []string{"ada", "bob"} {
				for worker := range 4 {
					all.Go(func() {
						token := name + "-of-a-user"
						own := "Bearer " + strings.TrimPrefix(strings.TrimSuffix(new(bureau).of(token), "0"), "given-")
						for i := range 25 {
							req := f.request(t, "POST", []string{"/judged", "/plain"}[i%2], callEcho)
							req.Header.Set("Authorization", "Bearer "+token)
							res, err := f.client.Do(req)
							if err != nil {
								t.Errorf("%s, %d: %v", name, worker, err)
								return
							}
							_, _ = io.Copy(io.Discard, res.Body)
							res.Body.Close()
							if as := res.Header.Get("X-As"); res.StatusCode != 200 || !strings.HasPrefix(as, own) || res.Header.Get("X-Oid") != name {
								t.Errorf("%s, %d: %s as %q, who is %q; want %s", name, worker, res.Status, as, res.Header.Get("X-Oid"), own)
							}
						}
					})
				}
			}
			all.Wait()
			if len(office.replaced) != 2 {
				t.Errorf("tokens were replaced of %v", office.replaced)
			}
		})
	}
}

// TestWhoLeavesWhileATokenIsExchangedLeavesNothingBehind holds for a thousand of
// them, before and after the upstream was asked.
func TestWhoLeavesWhileATokenIsExchangedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{}, 1)
	hang := func(ctx context.Context, _ string) (string, error) {
		waiting <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}
	p := new(picky)
	p.least.Store(1)
	upstream := serve(t, p.ServeHTTP)
	for _, office := range []*bureau{{exchange: hang}, {again: hang}} {
		f := open(t, Options{Routes: behalf("1.1", office)}, "mcp.example", upstream.URL)
		leave := func(path string) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, w := httptest.NewRequestWithContext(ctx, "POST", "http://mcp.example"+path, strings.NewReader(callEcho)), httptest.NewRecorder()
			r.Header.Set("Authorization", "Bearer "+canary)
			r.Header.Set("Content-Type", "application/json")
			left := make(chan any, 1)
			go func() {
				defer func() { left <- recover() }()
				f.ServeHTTP(w, r)
			}()
			<-waiting
			cancel()
			if why := <-left; why != http.ErrAbortHandler || w.Body.Len() != 0 {
				t.Errorf("%v, answered %s", why, w.Body)
			}
			if done := <-f.done; done.Status != 0 || done.Late != (office.again != nil) || done.Exchange != map[bool]string{true: "ok"}[office.again != nil] {
				t.Errorf("told of %+v", done)
			}
		}
		for i := range 500 {
			leave([]string{"/judged", "/plain"}[i%2])
		}
		if f.bodies.held != 0 {
			t.Errorf("bodies hold something")
		}
		for _, u := range f.Upstreams() {
			if u.InFlight != 0 {
				t.Errorf("the state is %+v", u)
			}
		}
		for _, r := range f.routes {
			for _, u := range r.upstreams {
				u.transport.CloseIdleConnections()
			}
		}
	}
}

// BenchmarkExchangedToken is what a route on behalf of users costs a request whose
// token is known, beside one that is not.
func BenchmarkExchangedToken(b *testing.B) {
	for name, office := range map[string]Exchanger{"stripped": nil, "exchanged": new(bureau)} {
		b.Run(name, func(b *testing.B) {
			f := open(b, Options{Routes: []Route{{Path: "/", Allow: true, OnBehalfOf: office}}}, "mcp.example", nobody)
			r := httptest.NewRequest("GET", "http://mcp.example/", nil)
			r.Header.Set("Authorization", "Bearer "+canary)
			b.ReportAllocs()
			for b.Loop() {
				x := &exchange{r: r, seen: &Request{}, route: f.routes[0], caller: somebody(), assertion: canary, body: &body{}}
				if !f.exchangeable(x) || !f.onBehalf(x) {
					b.Fatal("refused")
				}
				_ = f.asking(b.Context(), x, func(error) {})
			}
		})
	}
}
