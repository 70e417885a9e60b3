package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
		wantRefusal(t, Unavailable, err)
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
