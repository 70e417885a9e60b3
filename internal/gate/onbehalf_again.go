package gate

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/challenge"
)

// refused reports whether res refuses the token that the gate has shown. It says
// nothing of the caller's own, so that no client may hear of it: it would throw away
// a good token.
func (a *asking) refused(res *http.Response) bool {
	_, broken := a.x.body.problem()
	return a.x.token != "" && res.StatusCode == http.StatusUnauthorized && !broken
}

// afresh gets another token in place of the one that the upstream refuses by res,
// and sends the request once more, if its body is still there. An *unfit error has
// the answer where that does not help. The time limit is for each attempt.
func (g *Gate) afresh(a *asking, res *http.Response, cancel context.CancelCauseFunc) (*http.Response, *upstream, error) {
	x, owner := a.x, ownerOf(a.x.caller)
	whole := x.message != nil || x.body.from == nil
	if !whole {
		cancel(nil) // over HTTP/2 closing would wait for a read of the request's body
	}
	res.Body.Close()
	if x.route.spurned.rests(owner, time.Now()) || !x.route.spurned.may(x.assertion, x.token, time.Now()) {
		return nil, nil, g.spurned(x)
	}
	claims, _ := challenge.Read(res.Header["Www-Authenticate"])
	token, err := x.route.OnBehalfOf.Again(x.r.Context(), x.caller.Tenant, x.assertion, x.token, claims)
	if why := x.keepToken(token, err); why != nil {
		return nil, nil, &unfit{g.untold(x, why, "the MCP server refused the token that it was shown")}
	}
	if !whole {
		x.route.spurned.note(owner, time.Now())
		return nil, nil, &unfit{notHeld}
	}
	a.show()
	res, u, err := a.inTime(cancel)
	if err == nil && a.refused(res) {
		res.Body.Close()
		x.route.spurned.note(owner, time.Now())
		return nil, nil, g.spurned(x)
	}
	return res, u, err
}

// notHeld is said where the token was replaced, but not what was sent with it.
var notHeld = answer{
	status: http.StatusBadGateway, kind: "token-refused", title: "The MCP server refused the token that it was shown",
	detail: "the gate has another one now, but the request went on as it came and is not held", hint: "Send it once more",
}

// spurned is why a request fails whose second token was refused, too.
func (g *Gate) spurned(x *exchange) error {
	if x.route.told.may("spurned", time.Now()) {
		g.o.Log.Error("an MCP server refuses the tokens that callers' are exchanged for", "route", x.route.Path, "upstream", x.seen.Upstream,
			"hint", "on_behalf_of.scope of the route has to be of the API whose tokens it takes")
	}
	return &unfit{answer{
		status: http.StatusBadGateway, kind: "token-refused", title: "The MCP server refuses the tokens that it is shown",
		detail: "it has refused another one, too; the caller's own is not at fault",
		hint:   "The operator of the gate has to mend that: its log has the reason",
	}}
}

const (
	// restAfterRefusal is how long no other token is fetched for a caller of whom
	// the upstream has refused two: Entra would hear of each of its requests.
	restAfterRefusal = 30 * time.Second
	// mostRefusals is how many tokens in turn an upstream may refuse of what one token
	// of a caller's is exchanged for, in the same time, also where it takes the next:
	// one less than there are to be had, as servers of the same API have them, too.
	mostRefusals = 2
	// mostSpurned is of how many callers that is known. Where there are more, the
	// upstream takes nobody's.
	mostSpurned = 1000
)

// spurned are the callers for whom a token was replaced in vain, and what else an
// upstream has refused of late. The zero value knows none.
type spurned struct {
	mu      sync.Mutex
	until   map[binding.Owner]time.Time
	refused map[hash]refusals // by the caller's token
}

// hash is what a token is known by here, where nobody has to read it.
type hash [sha256.Size]byte

// refusals are the tokens that an upstream has refused, all for the same one of a caller's.
type refusals struct {
	of    []hash
	until time.Time // when they are forgotten
}

// may reports whether another token may be fetched for who shows assertion, in place
// of the one that the upstream has refused. Who else was shown that one may, too.
func (s *spurned) may(assertion, token string, now time.Time) bool {
	caller, one := hash(sha256.Sum256([]byte(assertion))), hash(sha256.Sum256([]byte(token)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	r, known := s.refused[caller]
	switch {
	case slices.Contains(r.of, one), !known && len(s.refused) >= mostSpurned: // no more than the exchange allows
		return true
	case len(r.of) >= mostRefusals:
		return false
	case !known:
		r.until = now.Add(restAfterRefusal)
	}
	if s.refused == nil {
		s.refused = map[hash]refusals{}
	}
	r.of = append(r.of, one)
	s.refused[caller] = r
	return true
}

// rests reports whether no other token is fetched for that caller.
func (s *spurned) rests(o binding.Owner, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	return len(s.until) >= mostSpurned || now.Before(s.until[o])
}

func (s *spurned) note(o binding.Owner, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[binding.Owner]time.Time{}
	}
	s.until[o] = now.Add(restAfterRefusal)
}

// expire forgets whose time has come. The lock is held.
func (s *spurned) expire(now time.Time) {
	for caller, r := range s.refused {
		if !now.Before(r.until) {
			delete(s.refused, caller)
		}
	}
	for o, until := range s.until {
		if !now.Before(until) {
			delete(s.until, o)
		}
	}
}
