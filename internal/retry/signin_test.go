package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// session is a source like az: until somebody signs in it has but one token, or
// none if it is empty, and it says how to sign in.
type session struct {
	empty bool
	fresh bool // somebody signs in before each call

	mu       sync.Mutex
	signedIn int
	asks     int
}

func (s *session) Token(_ context.Context, ask token.Ask) (token.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if s.fresh {
		s.signedIn++
	}
	failure := &token.Error{
		Class: token.SignIn, Source: "az", Message: "keeps its token", Hint: "az login --scope s",
		Stale: s.since(s.signedIn),
	}
	if s.empty && s.signedIn == 0 {
		return token.Token{}, failure
	}
	t, err := token.New(fmt.Sprint("session-", s.signedIn), "az", time.Now().Add(time.Hour))
	if t.Equal(ask.Rejected) {
		failure.Err = token.ErrSame
		return token.Token{}, failure
	}
	return t, err
}

func (s *session) since(then int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.signedIn != then
	}
}

func (s *session) signIn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signedIn++
}

func (s *session) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks
}

// fake is an upstream without a network, so that a bubble's clock moves. It
// answers with the status that the token deserves.
type fake func(bearer string) int

func (f fake) RoundTrip(req *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, req.Body)
	req.Body.Close()
	return &http.Response{StatusCode: f(bearer(req)), Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// ride is a route from src to a fake upstream.
type ride struct {
	t     *testing.T
	cache *token.Cache
	chain http.RoundTripper
	log   log
}

func newRide(t *testing.T, src token.Source, up fake) *ride {
	t.Helper()
	prefix, err := match.ParsePrefix("https://api.example/")
	if err != nil {
		t.Fatal(err)
	}
	r := &ride{t: t, cache: token.NewCache(src, token.Options{Name: "gateway", Margin: 5 * time.Minute})}
	t.Cleanup(r.cache.Close)
	injecting := inject.New(up, inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: r.cache, Scheme: "Bearer"})
	r.chain = retry.New(injecting, retry.Options{
		Tokens: r.cache, BodyLimit: bodyLimit, Memory: replay.NewBudget(64 << 20), Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	return r
}

// send sends a request; an error in place of an answer is in the Use.
func (r *ride) send() (int, *token.Use) {
	r.t.Helper()
	use := new(token.Use)
	req, err := http.NewRequestWithContext(token.WithUse(r.t.Context(), use), "POST", "https://api.example/x", strings.NewReader("body"))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.chain.RoundTrip(req)
	if err != nil {
		use.Why = err
		return 0, use
	}
	resp.Body.Close()
	return resp.StatusCode, use
}

// but answers 401 to the one token.
func but(refused string) fake {
	return func(bearer string) int {
		if bearer == refused {
			return 401
		}
		return 200
	}
}

func TestSignInElsewhereMendsARefusalThatTheSourceCouldNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := new(session)
		r := newRide(t, src, but("session-0"))
		for range 10 {
			status, use := r.send()
			want(t, "status", status, 401)
			want(t, "outcome", use.Retry, "same token")
			want(t, "attempts", use.Attempts, 1)
			e, _ := errors.AsType[*token.Error](use.Why)
			if e == nil || e.Source != "az" || e.Hint != "az login --scope s" || !errors.Is(use.Why, token.ErrSame) {
				t.Errorf("why: %+v, want az and how to sign in", use.Why)
			}
		}
		want(t, "acquisitions", src.asked(), 2)
		for _, part := range []string{`outcome="same token" source=az token=`, `cause="az: keeps its token" hint="az login --scope s"`} {
			if !strings.Contains(r.log.String(), part) {
				t.Errorf("the log lacks %q: %s", part, &r.log)
			}
		}

		src.signIn()
		time.Sleep(5 * time.Second)
		status, use := r.send()
		want(t, "status after the sign-in", status, 200)
		want(t, "outcome after the sign-in", use.Retry, "healed")
		want(t, "token after the sign-in", use.Token.Reveal(), "session-1")
		wantWhy(t, use, "")
		want(t, "acquisitions", src.asked(), 3)
	})
}

func TestSignInHereMendsARefusalAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := new(session)
		r := newRide(t, src, but("session-0"))
		_, use := r.send()
		want(t, "outcome", use.Retry, "same token")
		src.signIn()
		r.cache.Forget()
		status, use := r.send()
		want(t, "status", status, 200)
		want(t, "outcome", use.Retry, "healed")
	})
}

func TestRequestSucceedsOnceSomebodyHasSignedInElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &session{empty: true}
		r := newRide(t, src, but(""))
		for range 300 {
			status, use := r.send()
			want(t, "status", status, 0)
			wantWhy(t, use, "az: keeps its token")
			time.Sleep(100 * time.Millisecond)
		}
		want(t, "acquisitions in half a minute", src.asked(), 1)
		src.signIn()
		status, use := r.send()
		want(t, "status", status, 200)
		want(t, "token", use.Token.Reveal(), "session-1")
	})
}

func TestUpstreamThatRefusesEverythingCostsTwoAcquisitionsInTenSeconds(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]bool{"another token each time": true, "the same token": false} {
		for burst, gap := range map[int]time.Duration{1: 100 * time.Millisecond, 10: time.Second, 100: 10 * time.Second} {
			t.Run(fmt.Sprintf("%s, %d at a time", name, burst), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					src := &session{fresh: fresh}
					r := newRide(t, src, func(string) int { return 401 })
					var wg sync.WaitGroup
					for range 100 / burst {
						for range burst {
							wg.Go(func() {
								status, use := r.send()
								want(t, "status", status, 401)
								if use.Attempts > 2 || use.Why == nil {
									t.Errorf("sent %d times, why: %v", use.Attempts, use.Why)
								}
							})
						}
						time.Sleep(gap)
					}
					wg.Wait()
					want(t, "acquisitions for 100 requests in 10 s", src.asked(), 2)
				})
			})
		}
	}
}

func TestSecondAttemptThatIsNotAnsweredIsAnErrorAndSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) == "token-1" {
			deny(w)
			return
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
	}))
	req, use := r.request("POST", strings.NewReader("body"))
	resp, err := r.chain.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("an upstream that closed the connection answered")
	}
	want(t, "outcome", use.Retry, "resend failed")
	wantWhy(t, use, "did not answer the request with the new token")
	r.released()
}
