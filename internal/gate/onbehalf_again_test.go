package gate

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/challenge"
	onbehalf "github.com/injectproxy/injectproxy/internal/exchange"
)

// picky is an upstream that takes no token whose number is below least, keeps what
// it was sent, and asks for claims if there are any.
type picky struct {
	least  atomic.Int64
	claims string
	mu     sync.Mutex
	shown  []string // tokens
	bodies []string
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	shown := r.Header.Get("Authorization")
	p.mu.Lock()
	p.shown, p.bodies = append(p.shown, shown), append(p.bodies, string(b))
	p.mu.Unlock()
	w.Header().Set("X-Shown", fmt.Sprint(len(p.shown)))
	n := int64(-1)
	_, _ = fmt.Sscan(shown[strings.LastIndex(shown, "-")+1:], &n)
	if n < p.least.Load() {
		w.Header().Set("WWW-Authenticate", `Bearer realm="a", error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(p.claims))+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "the token is no good")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
}

// heard returns what came since it was asked last.
func (p *picky) heard() (shown, bodies []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shown, bodies = p.shown, p.bodies
	p.shown, p.bodies = nil, nil
	return shown, bodies
}

func TestATokenThatTheUpstreamRefusesIsReplacedOnce(t *testing.T) {
	t.Parallel()
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`
	for _, wire := range wires {
		for _, path := range []string{"/judged", "/plain"} {
			for _, what := range each {
				t.Run(fmt.Sprint(wire, path, what.name), func(t *testing.T) {
					t.Parallel()
					office, p := new(bureau), &picky{claims: claims}
					f := stand(t, Options{Routes: behalf(wire.up, office)}, serveBoth(t, p.ServeHTTP).URL).over(t, wire.down)
					first := "Bearer " + office.of(canary)
					p.least.Store(1)
					res, body := f.do(t, f.request(t, what.method, path, what.body))
					shown, bodies := p.heard()
					if res.StatusCode != 200 || res.Header["Www-Authenticate"] != nil || !strings.Contains(body, "result") {
						t.Errorf("%s, %v, %s", res.Status, res.Header, body)
					}
					if len(shown) != 2 || shown[0] != first || shown[1] != "Bearer "+office.of(canary) || shown[1] == first || bodies[0] != what.body || bodies[1] != what.body {
						t.Errorf("the upstream was shown %q, with %q", shown, bodies)
					}
					if _, again := office.counts(); again != 1 || office.claims[0] != claims {
						t.Errorf("another was asked for %d times, with %q", again, office.claims)
					}
					if done := <-f.done; done.Exchange != "ok" || done.Attempts != 2 || !done.Allowed || done.Status != 200 || done.Problem != "" {
						t.Errorf("told of %+v", done)
					}
					for _, u := range f.Upstreams() {
						if u.InFlight != 0 {
							t.Errorf("the state is %+v", u)
						}
					}
				})
			}
		}
	}
}

// TestA401OfTheUpstreamIsNeverTheCallers holds that no client throws away a token
// that is good, and that Entra is not asked for another with each request.
func TestA401OfTheUpstreamIsNeverTheCallers(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"1.1", "h2c"} {
		synctest.Test(t, func(t *testing.T) {
			office, p := new(bureau), new(picky)
			var lines lockedBuffer
			f := inside(t, Options{Routes: behalf(protocol, office), Log: slog.New(slog.NewTextHandler(&lines, nil))}, p.ServeHTTP)
			p.least.Store(1000)
			refused := func(attempts, wantAgain int) {
				t.Helper()
				res, body := f.do(t, f.request(t, "POST", "/judged", callEcho))
				shown, _ := p.heard()
				if res.StatusCode != 502 || res.Header["Www-Authenticate"] != nil || !strings.Contains(body, `"id":1,`) || strings.Contains(body, "no good") || len(shown) != attempts {
					t.Errorf("%s: %s, %v, %s; the upstream was shown %q", protocol, res.Status, res.Header, body, shown)
				}
				if _, again := office.counts(); again != wantAgain {
					t.Errorf("%s: another token was asked for %d times, want %d", protocol, again, wantAgain)
				}
				for _, u := range f.Upstreams() {
					if u.InFlight != 0 {
						t.Errorf("%s: the state is %+v", protocol, u)
					}
				}
				if done := <-f.done; done.Status != 502 || done.Attempts != attempts || done.Problem == "" {
					t.Errorf("told of %+v", done)
				}
			}
			refused(2, 1)
			refused(1, 1)
			time.Sleep(restAfterRefusal - time.Millisecond)
			refused(1, 1)
			time.Sleep(time.Millisecond)
			refused(2, 2)
			if n := strings.Count(lines.String(), "an MCP server refuses the tokens"); n != 2 { // the second is within a moment of the third
				t.Errorf("%s: the log says so %d times:\n%s", protocol, n, lines.String())
			}
			p.least.Store(0) // it takes the token that it has refused
			if res, _ := f.do(t, f.request(t, "POST", "/judged", callEcho)); res.StatusCode != 200 {
				t.Errorf("%s: %s once all is well", protocol, res.Status)
			}
		})
	}
}

func TestOneCallersRefusedTokensAreNothingToOthers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var s spurned
	one := binding.Owner{Tenant: "tenant", Object: "one"}
	if s.note(one, now); !s.rests(one, now) || s.rests(binding.Owner{Tenant: "tenant", Object: "two"}, now) || s.rests(one, now.Add(restAfterRefusal)) || len(s.until) != 0 {
		t.Error("the wrong one rests")
	}
	for i := range mostSpurned {
		s.note(binding.Owner{Object: fmt.Sprint(i)}, now)
	}
	if !s.rests(one, now) || s.rests(one, now.Add(restAfterRefusal)) || len(s.until) != 0 {
		t.Error("more are known than there is room for")
	}
}

// TestTokensThatAreRefusedInTurnAreNoLoop holds where the upstream takes the second
// each time: who exchanges tokens does not hear of each call.
func TestTokensThatAreRefusedInTurnAreNoLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		office, p := new(bureau), new(picky)
		f := inside(t, Options{Routes: behalf("1.1", office)}, p.ServeHTTP)
		calls := func(n, ok, wantAgain int) {
			t.Helper()
			for i := range n {
				p.least.Add(1) // of what is shown it refuses the first
				want := 200
				if i >= ok {
					want = 502
				}
				if res, body := f.do(t, f.request(t, "POST", "/judged", callEcho)); res.StatusCode != want {
					t.Fatalf("call %d: %s, %s", i, res.Status, body)
				}
			}
			_, again := office.counts()
			if again != wantAgain {
				t.Errorf("another token was asked for %d times, want %d", again, wantAgain)
			}
			p.least.Store(int64(again))
		}
		calls(50, mostRefusals, mostRefusals)
		time.Sleep(restAfterRefusal - time.Millisecond)
		calls(1, 0, mostRefusals)
		time.Sleep(time.Millisecond)
		calls(50, mostRefusals, 2*mostRefusals)
	})
}

func TestWhoWasShownTheSameTokenHasAnotherToo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var s spurned
	may := func(want bool, assertion, token string, at time.Duration) {
		t.Helper()
		if s.may(assertion, token, now.Add(at)) != want {
			t.Errorf("%s of %s after %s: %v", token, assertion, at, !want)
		}
	}
	for range 3 {
		may(true, "ada", "one", 0)
		may(true, "ada", "two", time.Second)
	}
	may(false, "ada", "three", time.Second)
	may(true, "ada", "one", time.Second)
	may(true, "bob", "three", time.Second)
	may(true, "ada, who has proved more", "three", time.Second)
	may(false, "ada", "three", restAfterRefusal-1)
	may(true, "ada", "three", restAfterRefusal)
	for i := range 2 * mostSpurned {
		may(true, fmt.Sprint(i), "one", restAfterRefusal)
	}
	if len(s.refused) != mostSpurned || len(s.until) != 0 {
		t.Errorf("%d are known, %d rest", len(s.refused), len(s.until))
	}
}

func TestWhyNoOtherTokenIsToBeHadIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		again  func(context.Context, string) (string, error)
		status int
		reason string
	}{
		{func(context.Context, string) (string, error) {
			return "", &onbehalf.Refusal{Reason: onbehalf.Challenged, Claims: `{"a":1}`}
		}, 403, "challenged"},
		{func(context.Context, string) (string, error) { return "", &onbehalf.Refusal{Reason: onbehalf.SignIn} }, 401, "sign-in"},
		{func(context.Context, string) (string, error) {
			return "", &onbehalf.Refusal{Reason: onbehalf.Unavailable}
		}, 503, "unavailable"},
		{func(context.Context, string) (string, error) { return new(bureau).of(canary), nil }, 502, "misconfigured"}, // the same again
		{func(context.Context, string) (string, error) { return canary, nil }, 502, "misconfigured"},
	} {
		office, p := &bureau{again: c.again}, new(picky)
		f := stand(t, Options{Routes: behalf("auto", office)}, serve(t, p.ServeHTTP).URL)
		p.least.Store(1)
		res, body := f.do(t, f.request(t, "POST", "/plain", callEcho))
		claims, invalid := challenge.Read(res.Header["Www-Authenticate"])
		if res.StatusCode != c.status || (claims == `{"a":1}`) != (c.status == 403) || invalid != (c.status == 401) || !strings.Contains(body, "refused the token that it was shown") || strings.Contains(body, canary) {
			t.Errorf("%s: %s, %v, %s", c.reason, res.Status, res.Header, body)
		}
		if shown, _ := p.heard(); len(shown) != 1 {
			t.Errorf("%s: the upstream was shown %q", c.reason, shown)
		}
		if done := <-f.done; done.Exchange != c.reason || done.Denied != "exchange" {
			t.Errorf("%s: told of %+v", c.reason, done)
		}
	}
}

// TestABodyThatIsNotHeldIsNotSentAgain holds that the next request has the new token
// all the same.
func TestABodyThatIsNotHeldIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		office, p := new(bureau), new(picky)
		f := stand(t, Options{Routes: behalf(wire.up, office)}, serveBoth(t, p.ServeHTTP).URL).over(t, wire.down)
		p.least.Store(1)
		send := func() (*http.Response, string) {
			req := f.request(t, "POST", "/plain", callEcho)
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20))), -1
			return f.do(t, req)
		}
		if res, body := send(); res.StatusCode != 502 || !strings.Contains(body, "Send it once more") || res.Header["Www-Authenticate"] != nil {
			t.Errorf("%v: %s, %s", wire, res.Status, body)
		}
		res, _ := send()
		if shown, bodies := p.heard(); res.StatusCode != 200 || len(shown) != 2 || shown[0] == shown[1] || len(bodies[1]) != 1<<20 {
			t.Errorf("%v: %s, the upstream was shown %q", wire, res.Status, shown)
		}
		p.least.Store(1000)
		for range 3 {
			if res, _ := send(); res.StatusCode != 502 {
				t.Errorf("%v: %s", wire, res.Status)
			}
		}
		if _, again := office.counts(); again != 1 {
			t.Errorf("%v: another token was asked for %d times", wire, again)
		}
	}
}

// TestABodyThatIsStillSentIsNotWaitedFor holds that the 401 of an upstream which does
// not want the rest reaches the client as the gate's own.
func TestABodyThatIsStillSentIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		office := new(bureau)
		f := stand(t, Options{Routes: behalf(wire.up, office)}, serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(http.StatusUnauthorized)
			_ = http.NewResponseController(w).Flush()
		}).URL).over(t, wire.down)
		body, more := io.Pipe()
		req := f.request(t, "POST", "/plain", callEcho)
		req.Body, req.ContentLength = body, -1
		go func() { _, _ = io.WriteString(more, "the first part") }()
		res, text := f.do(t, req)
		more.Close()
		if res.StatusCode != 502 || !strings.Contains(text, "token") {
			t.Errorf("%v: %s, %s", wire, res.Status, text)
		}
		if done := <-f.done; done.Exchange != "ok" || done.Attempts != 1 {
			t.Errorf("%v: told of %+v", wire, done)
		}
	}
}

// TestUpstreamThatBreaksOffAfterItRefusedATokenHasFailed holds that nothing is said of
// tokens then: another one was never refused.
func TestUpstreamThatBreaksOffAfterItRefusedATokenHasFailed(t *testing.T) {
	t.Parallel()
	office, p := new(bureau), new(picky)
	f := stand(t, Options{Routes: behalf("auto", office)}, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("Authorization"), "-1") {
			panic(http.ErrAbortHandler)
		}
		p.ServeHTTP(w, r)
	}).URL)
	p.least.Store(1)
	for range 2 { // neither is the caller's to wait for
		res, body := f.do(t, f.request(t, "POST", "/judged", callEcho))
		if done := <-f.done; res.StatusCode != 502 || strings.Contains(body, "token") || !strings.Contains(body, `"id":1,`) || done.Status != 502 || done.Attempts != 2 {
			t.Errorf("%s, %s; told of %+v", res.Status, body, done)
		}
		p.mu.Lock()
		p.shown = nil
		p.mu.Unlock()
		office.mu.Lock()
		office.replaced = nil
		office.mu.Unlock()
	}
}

func TestEarlyHintsOfARefusedAttemptComeOnce(t *testing.T) {
	t.Parallel()
	office, p := new(bureau), new(picky)
	f := stand(t, Options{Routes: behalf("auto", office)}, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		p.ServeHTTP(w, r)
	}).URL)
	p.least.Store(1)
	hints := 0
	req := f.request(t, "POST", "/plain", callEcho)
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}))
	if res, _ := f.do(t, req); res.StatusCode != 200 || hints != 1 {
		t.Errorf("%s, %d hints", res.Status, hints)
	}
}

// TestTheTimeLimitIsForEachAttempt holds that what Entra took is not counted.
func TestTheTimeLimitIsForEachAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		office, p := new(bureau), new(picky)
		office.again = func(context.Context, string) (string, error) {
			time.Sleep(time.Minute)
			return "given-1", nil
		}
		routes := behalf("1.1", office)
		routes[0].Timeout = 10 * time.Second
		f := inside(t, Options{Routes: routes}, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(9 * time.Second)
			p.ServeHTTP(w, r)
		})
		p.least.Store(1)
		f.client.Timeout = 0
		if res, body := f.do(t, f.request(t, "POST", "/judged", callEcho)); res.StatusCode != 200 {
			t.Errorf("%s, %s", res.Status, body)
		}
	})
}
