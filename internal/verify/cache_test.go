package verify

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

func sum(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func TestTokenThatExpiresIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		token := first().token(nil)
		accepted(t, v, "new", token)
		time.Sleep(time.Hour + leeway - time.Nanosecond)
		accepted(t, v, "in the leeway", token)
		if v.valid.byAge.Len() != 1 {
			t.Error("the token is not remembered")
		}
		time.Sleep(time.Nanosecond)
		refused(t, v, "expired", token, Expired)
		if v.valid.byAge.Len() != 0 || len(v.valid.entries) != 0 {
			t.Error("the token is still remembered")
		}
	})
}

func TestCacheIsBoundedAndForgetsTheOldest(t *testing.T) {
	t.Parallel()
	c, r, key := newCache(), &ring{now: time.Now}, &publicKey{}
	r.set.Store(&keySet{keys: map[string]*publicKey{"k": key}, fetched: time.Now()})
	name := func(i int) [sha256.Size]byte { return sum(fmt.Sprint(i)) }
	caller := &Caller{Expires: time.Now().Add(time.Hour)}
	const more = 10
	for i := range maxCached + more {
		for range 2 { // several may find the same token valid at once
			c.put(name(i), &entry{caller: caller, ring: r, kid: "k", key: key})
		}
	}
	if len(c.entries) != maxCached || c.byAge.Len() != maxCached {
		t.Errorf("%d and %d entries, want %d", len(c.entries), c.byAge.Len(), maxCached)
	}
	for i, want := range map[int]*Caller{0: nil, more - 1: nil, more: caller, maxCached + more - 1: caller} {
		if got := c.get(name(i), time.Now()); got != want {
			t.Errorf("token %d: %v", i, got)
		}
	}
}
