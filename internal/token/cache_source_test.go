package token

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is a source that gives a new token at each call, after work has
// passed, unless it is down or was told to repeat itself.
type issuer struct {
	life time.Duration // of each token, 0: unknown
	work time.Duration

	mu     sync.Mutex
	asked  []Ask
	at     []time.Duration // when, since born
	down   error
	repeat bool
	given  int
	last   Token
	born   time.Time
}

func newIssuer(life time.Duration) *issuer { return &issuer{life: life, born: time.Now()} }

func (s *issuer) Token(ctx context.Context, ask Ask) (Token, error) {
	if s.work > 0 {
		select {
		case <-time.After(s.work):
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, ask)
	s.at = append(s.at, time.Since(s.born))
	if s.down != nil {
		return Token{}, s.down
	}
	if s.repeat && !s.last.IsZero() {
		return s.last, nil
	}
	s.given++
	var expiry time.Time
	if s.life > 0 {
		expiry = time.Now().Add(s.life)
	}
	t, err := New(fmt.Sprintf("value-%d", s.given), "issuer", expiry)
	s.last = t
	return t, err
}

func (s *issuer) set(down error, repeat bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.repeat = down, repeat
}

func (s *issuer) asks() []Ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ask(nil), s.asked...)
}

// sourceFunc is a source that is one function.
type sourceFunc func(context.Context, Ask) (Token, error)

func (f sourceFunc) Token(ctx context.Context, ask Ask) (Token, error) { return f(ctx, ask) }

func mint(t testing.TB, value string, expiry time.Time) Token {
	t.Helper()
	tok, err := New(value, "test", expiry)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// take returns c's token; any but want is an error of the test.
func take(t *testing.T, c *Cache, want string) Token {
	t.Helper()
	got, err := c.Token(t.Context())
	if err != nil || got.Reveal() != want {
		t.Errorf("Token = %q, %v; want %q", got.Reveal(), err, want)
	}
	return got
}

// swap replaces rejected in c; any result but want is an error of the test.
func swap(t *testing.T, c *Cache, rejected Token, claims, want string) Token {
	t.Helper()
	got, err := c.Replace(t.Context(), rejected, claims)
	if err != nil || got.Reveal() != want {
		t.Errorf("Replace = %q, %v; want %q", got.Reveal(), err, want)
	}
	return got
}

func wantAsks(t *testing.T, s *issuer, want int) {
	t.Helper()
	if got := len(s.asks()); got != want {
		t.Fatalf("the source was asked %d times, want %d", got, want)
	}
}

// atOnce fails the test if f lets the bubble's clock move.
func atOnce(t *testing.T, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d != 0 {
		t.Fatalf("took %v, want no time", d)
	}
}

// inBubble runs f on a faked clock with a Cache over src, which it closes.
func inBubble(t *testing.T, o Options, life time.Duration, f func(*testing.T, *issuer, *Cache)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newIssuer(life)
		o.Name = "gateway"
		c := NewCache(src, o)
		defer c.Close()
		f(t, src, c)
	})
}
