package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hanging answers when gate is closed, if the caller still waits then.
func hanging(t *testing.T, gate <-chan struct{}) *stub {
	return &stub{t: t, answer: func(r *http.Request, _ url.Values) (int, string) {
		select {
		case <-gate:
			return gives("good", 3600)
		case <-r.Context().Done():
			return 0, ""
		}
	}}
}

func TestHerdOfOneUserAsksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := hanging(t, gate)
		e := s.exchanger()
		defer e.Close()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				got, err := e.Exchange(t.Context(), tenant, of("ada"))
				if err != nil || got != "good" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if n := len(s.asked()); n != 1 {
			t.Errorf("Entra was asked %d times", n)
		}
	})
}

// Who found nothing, and begins after the flight of the others has landed, asks no
// second time.
func TestWhoBeginsLateFindsWhatLanded(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	for _, q := range []query{plainQuery(tenant, of("ada")), againQuery(tenant, of("ada"), "token-1", claimed)} {
		first, late := e.fly(q), e.fly(q)
		if first != late || first.token == "" {
			t.Errorf("first %+v, then %+v", first, late)
		}
	}
	if n := len(s.asked()); n != 2 {
		t.Errorf("Entra was asked %d times", n)
	}
	s = &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return refuses(65001, "") }}
	e = s.exchanger()
	for _, q := range []query{plainQuery(tenant, of("ada")), againQuery(tenant, of("ada"), "token-1", claimed)} {
		first, late := e.fly(q), e.fly(q)
		if first != late || first.refusal == nil {
			t.Errorf("first %+v, then %+v", first, late)
		}
	}
	if n := len(s.asked()); n != 2 {
		t.Errorf("Entra refused %d times", n)
	}
}

func TestWhoLeavesLeavesTheOthersTheirToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := hanging(t, gate)
		e := s.exchanger()
		defer e.Close()
		first, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := e.Exchange(first, tenant, of("ada"))
			left <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			if err != nil || got != "good" {
				t.Errorf("who stayed got %q, %v", got, err)
			}
		})
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		close(gate)
		wg.Wait()
		if n := len(s.asked()); n != 1 {
			t.Errorf("Entra was asked %d times", n)
		}
	})
}

func TestHangingEntraIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := hanging(t, nil)
		e := s.exchanger()
		defer e.Close()
		began := time.Now()
		_, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantRefusal(t, Unavailable, err)
		if took := time.Since(began); took != limit {
			t.Errorf("it took %s", took)
		}
	})
}

// Who asks where a tenant's endpoints are just before its time is over takes nobody
// along who has time left.
func TestWhoseTimeIsOverTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(4 * time.Second):
				return reply(r, http.StatusOK, placeOf(tenant)), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		w := newWire(&http.Client{Transport: slow}, "login.microsoftonline.com", time.Now)
		ask := func(left time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, publicCloud+"/"+tenant, nil)
			if err != nil {
				return err
			}
			_, err = w.Do(r)
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := ask(time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("whose time was over got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if err := ask(10 * time.Second); err != nil {
					t.Errorf("who had time left got %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestTooManyExchangesAreTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := hanging(t, gate)
		e := s.exchanger()
		defer e.Close()
		var wg sync.WaitGroup
		for i := range atOnce + mayWait {
			wg.Go(func() {
				if _, err := e.Exchange(t.Context(), tenant, of(fmt.Sprint("user-", i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := len(s.asked()); n != atOnce {
			t.Errorf("%d requests to Entra at once, want %d", n, atOnce)
		}
		_, err := e.Exchange(t.Context(), tenant, of("one too many"))
		if r := wantRefusal(t, Unavailable, err); r.RetryAfter != time.Second {
			t.Errorf("come back after %s", r.RetryAfter)
		}
		close(gate)
		wg.Wait()
		if _, err := e.Exchange(t.Context(), tenant, of("one too many")); err != nil {
			t.Errorf("after the rush: %v", err)
		}
	})
}

// TestWhoWaitsForATurnInVainIsToldToComeBack holds that Entra hears nothing of it, and
// that who needs no turn does not wait for one.
func TestWhoWaitsForATurnInVainIsToldToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
			if f.Get("assertion") == of("eve") {
				return refuses(65001, "")
			}
			return gives("good", 3600)
		}}
		e := s.exchanger()
		defer e.Close()
		exchange := func(user string) (time.Duration, error) {
			began := time.Now()
			_, err := e.Exchange(t.Context(), tenant, of(user))
			return time.Since(began), err
		}
		_, _ = exchange("bob")
		_, _ = exchange("eve")
		if err := e.slots.Acquire(t.Context(), atOnce); err != nil {
			t.Fatal(err)
		}
		if took, err := exchange("bob"); took != 0 || err != nil {
			t.Errorf("who has a token: %v after %s", err, took)
		}
		took, err := exchange("eve")
		if wantRefusal(t, Consent, err); took != 0 {
			t.Errorf("who was refused waits for %s", took)
		}
		began := time.Now()
		got, err := e.Again(t.Context(), tenant, of("bob"), "another", "")
		if wantToken(t, "good", got, err); time.Since(began) != 0 {
			t.Errorf("who has another token waits for %s", time.Since(began))
		}
		took, err = exchange("ada")
		if r := wantRefusal(t, Unavailable, err); took != limit || r.RetryAfter != time.Second {
			t.Errorf("after %s, to come back after %s", took, r.RetryAfter)
		}
		if n := len(s.asked()); n != 2 {
			t.Errorf("Entra was asked %d times", n)
		}
		e.slots.Release(atOnce)
		if took, err := exchange("ada"); took != 0 || err != nil {
			t.Errorf("afterwards: %v after %s", err, took)
		}
	})
}

// TestPanicOfAnExchangeIsARefusal holds for a flaw of the library, also where nobody
// reads a log.
func TestPanicOfAnExchangeIsARefusal(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for _, l := range []*slog.Logger{nil, slog.New(slog.NewTextHandler(&log, nil))} {
		s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
			if f.Get("assertion") == of("ada") {
				panic("of " + canary)
			}
			return gives("good", 3600)
		}}
		e := s.exchanger(func(o *Options) { o.Log = l })
		for range 2 {
			_, err := e.Exchange(t.Context(), tenant, of("ada"))
			wantRefusal(t, Misconfigured, err)
		}
		got, err := e.Exchange(t.Context(), tenant, of("bob"))
		wantToken(t, "good", got, err)
		if !e.slots.TryAcquire(atOnce) {
			t.Error("a turn was not given back")
		}
	}
	if said := log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, "panicked") || strings.Contains(said, canary) {
		t.Errorf("said %s", said)
	}
}

// closable tells that it was closed.
type closable struct {
	credential
	closed int
}

func (c *closable) close() { c.closed++ }

func TestCloseWaitsForWhatIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(r *http.Request, _ url.Values) (int, string) {
			<-r.Context().Done()
			time.Sleep(time.Minute)
			return 0, ""
		}}
		e := s.exchanger()
		c := &closable{credential: e.credential}
		e.credential = c
		go func() { _, _ = e.Exchange(t.Context(), tenant, of("ada")) }()
		synctest.Wait()
		began := time.Now()
		if e.Close(); time.Since(began) != time.Minute || c.closed != 1 {
			t.Errorf("it ended after %s, with the credential closed %d times", time.Since(began), c.closed)
		}
	})
}

func TestCloseEndsWhatIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := hanging(t, nil)
		e := s.exchanger()
		done := make(chan error)
		go func() {
			_, err := e.Exchange(t.Context(), tenant, of("ada"))
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		e.Close()
		wantRefusal(t, Unavailable, <-done)
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s", took)
		}
		_, err := e.Exchange(t.Context(), tenant, of("bob"))
		if r := wantRefusal(t, Unavailable, err); !strings.Contains(r.Detail, "ending") {
			t.Errorf("behind the end: %v", r)
		}
		if n := len(s.asked()); n != 1 {
			t.Errorf("Entra was asked %d times", n)
		}
	})
}

func TestRequestsToEntraAreObserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
			time.Sleep(time.Second)
			if f.Get("assertion") == of("ada") {
				return gives("good", 3600)
			}
			return refuses(65001, "")
		}}
		var seen []string
		e := s.exchanger(func(o *Options) {
			o.Observed = func(result string, took time.Duration) { seen = append(seen, fmt.Sprint(result, " ", took)) }
		})
		defer e.Close()
		for range 2 {
			_, _ = e.Exchange(t.Context(), tenant, of("ada"))
			_, _ = e.Exchange(t.Context(), tenant, of("bob"))
		}
		if got := fmt.Sprint(seen); got != "[ok 1s consent 1s]" {
			t.Errorf("observed %s", got)
		}
	})
}
