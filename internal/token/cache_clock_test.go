package token

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A bubble's clock plays the monotonic one; set moves the wall clock alone.
type wallClock struct{ set time.Duration }

func (w *wallClock) now() time.Time { return time.Now().Add(w.set) }

// endsAt gives tokens that end at a moment of the wall clock, as the identity
// service's do, 1 h after the start.
func endsAt() sourceFunc {
	n, end := 0, time.Now().Add(time.Hour)
	return func(context.Context, Ask) (Token, error) {
		n++
		return New(fmt.Sprintf("value-%d", n), "test", end.Add(time.Duration(n-1)*time.Hour))
	}
}

func TestTokenEndsByWhicheverClockSaysMore(t *testing.T) {
	for name, tt := range map[string]struct {
		set, run time.Duration
		want     string
	}{
		"neither":                         {0, time.Hour - 1, "value-1"},
		"both":                            {0, time.Hour, "value-2"},
		"slept through its end":           {time.Hour, 0, "value-2"},
		"slept for a while":               {time.Hour - 1, 0, "value-1"},
		"set back, its life not run":      {-30 * time.Minute, time.Hour - 1, "value-1"},
		"set back, its life has run":      {-30 * time.Minute, time.Hour, "value-2"},
		"set back by a day, life has run": {-24 * time.Hour, time.Hour, "value-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var wall wallClock
				c := NewCache(endsAt(), Options{Now: wall.now})
				defer c.Close()
				take(t, c, "value-1")
				wall.set = tt.set
				time.Sleep(tt.run)
				take(t, c, tt.want)
			})
		})
	}
}

func TestRefreshIsNotPutOffByAClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wall wallClock
		c := NewCache(endsAt(), Options{Now: wall.now, Margin: 5 * time.Minute})
		defer c.Close()
		take(t, c, "value-1")
		wall.set = -24 * time.Hour
		time.Sleep(55 * time.Minute)
		take(t, c, "value-1")
		synctest.Wait()
		take(t, c, "value-2")
	})
}

func TestLogNamesSourceAndFingerprintAndNeverTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		src := newIssuer(time.Hour)
		c := NewCache(src, Options{Name: "gateway", Margin: 5 * time.Minute,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		defer c.Close()
		expect := func(lines ...string) {
			t.Helper()
			synctest.Wait()
			for _, want := range lines {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q:\n%s", want, log.String())
				}
			}
			if strings.Contains(log.String(), "value-") {
				t.Errorf("a token is in the log:\n%s", log.String())
			}
			log.Reset()
		}
		first := take(t, c, "value-1")
		expect(`level=INFO msg="first token" audience=gateway source=issuer token=`+first.Fingerprint(), "expiry=2000-01-01T01:00:00")
		second := swap(t, c, first, `{"a":1}`, "value-2")
		expect(`level=INFO msg="new token" audience=gateway rejected=` + first.Fingerprint() + " claims=true source=issuer token=" + second.Fingerprint())
		src.set(nil, true)
		c.Replace(t.Context(), second, "")
		expect(`level=WARN msg="token not replaced: its source gave the same again" audience=gateway rejected=` + second.Fingerprint() + " claims=false source=issuer")
		c.Replace(t.Context(), second, "")
		if log.Len() > 0 {
			t.Errorf("what was not asked again is logged again: %s", log.String())
		}
		time.Sleep(56 * time.Minute)
		take(t, c, "value-2")
		expect(`level=DEBUG msg="token not renewed: its source gave the same again" audience=gateway source=issuer`)
		src.set(&Error{Class: Transient, Source: "az", Message: "down"}, false)
		time.Sleep(30 * time.Second)
		take(t, c, "value-2")
		expect(`level=WARN msg="no token" audience=gateway error="az: down"`)
	})
}

func TestLogSaysNothingOfAnExpiryThatIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := NewCache(newIssuer(0), Options{Name: "gateway", Log: slog.New(slog.NewTextHandler(&log, nil))})
		defer c.Close()
		take(t, c, "value-1")
		synctest.Wait()
		if !strings.Contains(log.String(), `msg="first token"`) || strings.Contains(log.String(), "expiry") {
			t.Errorf("the log is\n%s", log.String())
		}
	})
}
