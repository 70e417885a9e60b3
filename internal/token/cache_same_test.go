package token

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wantSame fails the test unless err says that source gave the same token.
func wantSame(t *testing.T, err error, source, hint string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !errors.Is(err, ErrSame) || !ok || e.Source != source || e.Hint != hint {
		t.Errorf("got %v (%+v), want ErrSame of %s with hint %q", err, e, source, hint)
	}
}

func TestSourceThatGivesTheSameTokenIsNamed(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		for range 2 {
			_, err := c.Replace(t.Context(), first, "")
			wantSame(t, err, "issuer", "")
		}
	})
}

func TestSourceMaySayItselfThatItsTokenIsTheSame(t *testing.T) {
	for name, tt := range map[string]struct {
		err          error
		source, hint string
	}{
		"with a hint":    {&Error{Class: SignIn, Source: "az", Message: "keeps its token", Hint: "az login", Err: ErrSame}, "az", "az login"},
		"of no class":    {&Error{Source: "az", Message: "keeps its token", Err: ErrSame}, "az", ""},
		"without a word": {ErrSame, "gateway", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Margin: 2 * time.Hour}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
				first := take(t, c, "value-1")
				time.Sleep(20 * time.Second)
				src.set(tt.err, false)
				_, err := c.Replace(t.Context(), first, "")
				wantSame(t, err, tt.source, tt.hint)
				src.set(nil, false)
				time.Sleep(refreshEvery - time.Nanosecond)
				_, err = c.Replace(t.Context(), first, "")
				wantSame(t, err, tt.source, tt.hint)
				take(t, c, "value-1")
				synctest.Wait()
				wantAsks(t, src, 2) // it counts as an attempt to refresh
				time.Sleep(time.Nanosecond)
				swap(t, c, first, "", "value-2")
			})
		})
	}
}

func TestSameTokenIsAskedForAgainAfterASignInElsewhere(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		var signedIn atomic.Bool
		src.set(&Error{Class: SignIn, Source: "az", Hint: "az login", Err: ErrSame, Stale: signedIn.Load}, false)
		refuse := func() {
			t.Helper()
			_, err := c.Replace(t.Context(), first, "")
			wantSame(t, err, "az", "az login")
		}
		refuse()
		src.set(nil, false)
		signedIn.Store(true)
		time.Sleep(leastPause - time.Nanosecond)
		refuse()
		time.Sleep(time.Nanosecond)
		swap(t, c, first, "", "value-2")
	})
}

func TestSameTokenIsNoTimeout(t *testing.T) {
	c := NewCache(sourceFunc(nil), Options{})
	defer c.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantSame(t, c.classify(ended, &Error{Source: "az", Err: ErrSame}), "az", "")
}

func TestLogNamesTheSourceThatCannotAndTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		src := newIssuer(time.Hour)
		c := NewCache(src, Options{Name: "gateway", Log: slog.New(slog.NewTextHandler(&log, nil))})
		defer c.Close()
		first := take(t, c, "value-1")
		src.set(&Error{Class: SignIn, Source: "az", Message: "keeps its token", Hint: "az login --scope s", Err: ErrSame}, false)
		c.Replace(t.Context(), first, "")
		src.set(&Error{Class: Policy, Source: "az", Code: "AADSTS53000", Hint: "enrol the device"}, false)
		c.Replace(t.Context(), first, `{"a":1}`)
		for _, want := range []string{
			`msg="token not replaced: its source gave the same again" audience=gateway rejected=` + first.Fingerprint() +
				` claims=false source=az error="az: keeps its token" hint="az login --scope s"`,
			`msg="no token" audience=gateway rejected=` + first.Fingerprint() + ` claims=true error="az: AADSTS53000: blocked by policy" hint="enrol the device"`,
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
	})
}
