package retry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/challenge/challengetest"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestSecondAnswerIsFinal(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		var hits atomic.Int32
		r := newRoute(t, serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			hits.Add(1)
			w.WriteHeader(401)
			io.WriteString(w, "no to "+bearer(r))
		}))
		status, answer, use := r.do("POST", strings.NewReader("body"))
		want(t, "status", status, 401)
		want(t, "answer", answer, "no to token-2")
		want(t, "requests upstream", hits.Load(), 2)
		want(t, "attempts", use.Attempts, 2)
		want(t, "outcome", use.Retry, "refused again")
		wantWhy(t, use, "refused a fresh token too")
		want(t, "token noted", use.Token.Reveal(), "token-2")
		// It drops no token: the fresh one is the one in use.
		tok, err := r.cache.Token(t.Context())
		want(t, "error of the cache", err, nil)
		want(t, "token kept", tok.Reveal(), "token-2")
		r.released()
	})
}

func TestOnlyARefusalOfTheTokenIsARefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		status     int
		challenges []string
		healed     bool
	}{
		{"401", 401, nil, true},
		{"401 with a challenge of another kind", 401, []string{`Basic realm="x"`}, true},
		{"403 invalid_token", 403, []string{`Bearer error="invalid_token"`}, true},
		{"403 invalid_token in the second value", 403, []string{`Basic realm="x"`, `Bearer realm="y", error="invalid_token"`}, true},
		{"403 invalid_token in the second challenge", 403, []string{`Basic realm="x", bearer realm=y, Error=invalid_token`}, true},
		{"403 with claims", 403, []string{`Bearer claims="e30"`}, true},
		{"403", 403, nil, false},
		{"403 insufficient_scope", 403, []string{`Bearer error="insufficient_scope"`}, false},
		{"403 that mentions it", 403, []string{`Bearer error_description="not error=\"invalid_token\""`}, false},
		{"403 with claims that do not decode", 403, []string{`Bearer claims="????"`}, false},
		{"400 invalid_token", 400, []string{`Bearer error="invalid_token"`}, false},
		{"407", 407, nil, false},
		{"500", 500, nil, false},
		{"302", 302, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoute(t, serve(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
				if bearer(r) == "token-2" {
					return
				}
				w.Header()["Www-Authenticate"] = c.challenges
				w.WriteHeader(c.status)
				io.WriteString(w, "original")
			}))
			status, answer, use := r.do("GET", nil)
			if c.healed {
				want(t, "status", status, 200)
				want(t, "outcome", use.Retry, "healed")
				return
			}
			want(t, "status", status, c.status)
			want(t, "answer", answer, "original")
			want(t, "outcome", use.Retry, "")
			wantWhy(t, use, "")
			want(t, "attempts", use.Attempts, 1)
			want(t, "acquisitions", len(r.mint.asked()), 1)
		})
	}
}

func TestClaimsInEverySpellingReachTheSourceAndCostOneReplay(t *testing.T) {
	t.Parallel()
	// In base64 it is padded, and has both letters in which the alphabets differ.
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"17?>~00~??>"}}}`
	std := base64.StdEncoding.EncodeToString([]byte(claims))
	want(t, "padding and both letters", strings.HasSuffix(std, "=") && strings.Contains(std, "+") && strings.Contains(std, "/"), true)
	for _, status := range []int{401, 403} {
		for _, spelling := range challengetest.Spellings(claims) {
			t.Run(fmt.Sprint(status, " ", spelling.Name), func(t *testing.T) {
				t.Parallel()
				var hits atomic.Int32
				r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
					hits.Add(1)
					if bearer(r) != "token-2" {
						w.Header().Set("WWW-Authenticate", spelling.Value)
						w.WriteHeader(status)
					}
				}))
				got, _, use := r.do("POST", strings.NewReader("body"))
				want(t, "status", got, 200)
				want(t, "outcome", use.Retry, "healed")
				want(t, "requests upstream", hits.Load(), 2)
				asks := r.mint.asked()
				want(t, "acquisitions", len(asks), 2)
				want(t, "claims", asks[len(asks)-1].Claims, claims)
				want(t, "refused token", asks[len(asks)-1].Rejected.Reveal(), "token-1")
			})
		}
	}
}

func TestSameTokenAgainIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		only("another")(w, r)
	}))
	r.mint.give = func(context.Context, int) (string, error) { return "the-only-one", nil }
	status, answer, use := r.do("POST", strings.NewReader("body"))
	want(t, "status", status, 401)
	want(t, "the upstream's own answer", answer, "denied\n")
	want(t, "requests upstream", hits.Load(), 1)
	want(t, "outcome", use.Retry, "same token")
	wantWhy(t, use, "mint: gave the refused token again")
	if log := r.log.String(); !strings.Contains(log, `outcome="same token" source=mint`) {
		t.Errorf("the log does not name the source: %s", log)
	}
	r.released()
}

func TestSourceThatFailsLeavesTheAnswerAlone(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		r := newRoute(t, serve(t, proto, only("another")))
		r.mint.give = func(_ context.Context, n int) (string, error) {
			if n == 1 {
				return "token-1", nil
			}
			return "", &token.Error{Class: token.Transient, Source: "mint", Message: "the mint is closed"}
		}
		status, answer, use := r.do("POST", strings.NewReader("body"))
		want(t, "status", status, 401)
		want(t, "the upstream's own answer", answer, "denied\n")
		want(t, "outcome", use.Retry, "refresh failed")
		wantWhy(t, use, "mint: the mint is closed")
		want(t, "an error of the cache", errors.As(use.Why, new(*token.Error)), true)
		if !strings.Contains(r.log.String(), "the mint is closed") {
			t.Errorf("the log does not say why: %s", r.log)
		}
		r.released()
	})
}

func TestClientsOwnTokenIsNotReplaced(t *testing.T) {
	t.Parallel()
	r := newRoute(t, serve(t, "HTTP/1.1", only("another")), func(_ *route, _ *retry.Options, o *inject.Options) { o.Keep = true })
	req, use := r.request("GET", nil)
	req.Header.Set("Authorization", "Bearer mine")
	status, _ := r.send(req)
	want(t, "status", status, 401)
	want(t, "outcome", use.Retry, "")
	want(t, "acquisitions", len(r.mint.asked()), 0)
}

func TestClientThatLeavesEndsTheWait(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		var hits atomic.Int32
		r := newRoute(t, serve(t, proto, refuseAfter(4, &hits)))
		asked, never := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() { close(never) })
		r.mint.give = func(ctx context.Context, n int) (string, error) {
			if n == 2 {
				close(asked)
				select {
				case <-never:
				case <-ctx.Done():
				}
				return "", ctx.Err()
			}
			return "token-1", nil
		}
		body, client := io.Pipe()
		go io.WriteString(client, "half")
		req, use := r.request("POST", body)
		ctx, leave := context.WithCancel(req.Context())
		go func() { <-asked; leave() }()
		resp, err := r.chain.RoundTrip(req.WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		want(t, "outcome", use.Retry, "client left")
		wantWhy(t, use, "did not wait")
		want(t, "requests upstream", hits.Load(), 1)
		// The client's body is closed, though a read of it was under way.
		for {
			if _, err := io.WriteString(client, "more"); err != nil {
				want(t, "error of the client's body", err, io.ErrClosedPipe)
				break
			}
		}
		r.released()
	})
}

func TestRequestWithoutUseInItsContextIsRetriedToo(t *testing.T) {
	t.Parallel()
	r := newRoute(t, serve(t, "HTTP/1.1", only("token-2")))
	req, _ := r.request("GET", nil)
	status, _ := r.send(req.WithContext(context.Background()))
	want(t, "status", status, 200)
}

func TestUseOfAnEarlierRequestIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRoute(t, serve(t, "HTTP/1.1", only("token-2")))
	req, use := r.request("GET", nil)
	stale, err := token.New("stale", "before", use.Token.Expiry())
	want(t, "error", err, nil)
	use.Next, use.Retry = stale, "healed"
	r.send(req)
	use.Retry, use.Why = "same token", token.ErrSame
	r.send(req)
	wantWhy(t, use, "")
	want(t, "outcome of the last", use.Retry, "")
	want(t, "token of the last", use.Token.Reveal(), "token-2")
}
