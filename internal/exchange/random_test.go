package exchange

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What is answered, refused, replaced and left at random is each user's own, in each
// tenant, and never the token that was refused.
func TestNothingOfUsersCrossesAtRandom(t *testing.T) {
	thorough(t)
	t.Parallel()
	const users, often = 3000, 30
	tenants := []string{tenant, "9b0e77c3-d300-468d-8c1d-000000000000"}
	names := map[string]string{}
	for i := range users {
		names[of(fmt.Sprint("u", i))] = fmt.Sprint("u", i)
	}
	var given, clock atomic.Int64
	s := &stub{t: t, answer: func(r *http.Request, f url.Values) (int, string) {
		whose := names[f.Get("assertion")] + "." + strings.Split(r.URL.Path, "/")[1] + "."
		switch rand.IntN(12) {
		case 0:
			return refuses(90033, "")
		case 1:
			return refuses(50076, `{"access_token":{"who":{"value":"`+whose+`"}}}`)
		}
		return gives(fmt.Sprint(whose, given.Add(1)), 61+rand.IntN(900))
	}}
	began := time.Now()
	e := s.exchanger(func(o *Options) {
		o.Now = func() time.Time { return began.Add(time.Duration(clock.Add(1)) * time.Millisecond) }
	})
	call := func() {
		i := rand.IntN(often)
		if rand.IntN(3) == 0 {
			i = rand.IntN(users)
		}
		in, whose := tenants[rand.IntN(2)], fmt.Sprint("u", i)
		check := func(token string, err error) {
			if err == nil && !strings.HasPrefix(token, whose+"."+in+".") {
				t.Errorf("%s of %s got %q", whose, in, token)
			}
			if r, ok := errors.AsType[*Refusal](err); ok && r.Claims != "" && !strings.Contains(r.Claims, `"`+whose+"."+in+".") {
				t.Errorf("%s of %s got the claims %s", whose, in, r.Claims)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if rand.IntN(4) == 0 {
			go cancel()
		}
		first, err := e.Exchange(ctx, in, of(whose))
		if check(first, err); err != nil || rand.IntN(3) > 0 {
			return
		}
		second, err := e.Again(ctx, in, of(whose), first, []string{"", claimed}[rand.IntN(2)])
		if check(second, err); err == nil && second == first {
			t.Errorf("%s got the token again that was refused", whose)
		}
	}
	var wg sync.WaitGroup
	for range 48 {
		wg.Go(func() {
			for range 100 {
				call()
			}
		})
	}
	wg.Wait()
	if m := &e.memory; len(m.of) != m.order.Len() || len(m.of) != len(m.ends) || m.bytes > maxBytes {
		t.Errorf("%d are known, %d in order, %d with an end, as %d bytes", len(m.of), m.order.Len(), len(m.ends), m.bytes)
	}
}
