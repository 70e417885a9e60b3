package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// olderSession is where the messages of the streams of these tests go.
const olderSession = "/mcp/messages?sessionId=one"

// tenured serves a gate that shares its sessions, in a bubble, before a server of the
// older transport. Its callers' tokens last for days.
func tenured(t *testing.T) (*front, *shaky) {
	t.Helper()
	o := knowing()
	verified := o.Verify
	o.Verify = func(ctx context.Context, token string) (*verify.Caller, error) {
		c, err := verified(ctx, token)
		if err == nil {
			c.Expires = time.Now().Add(72 * time.Hour)
		}
		return c, err
	}
	f := inside(t, o, olderHandler(always(olderSession), func(*http.Request) {}))
	f.client.Timeout = 0 // that of a test
	s := &shaky{Memory: binding.NewMemory(), shared: true}
	f.sessions = s
	return f, s
}

// listened is what becomes of a stream that its client goes on reading.
func listened(h held) <-chan error {
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, h.said)
		end <- err
	}()
	return end
}

// later is when all that is due by then has been done.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestHeldStreamHasItsSessionNotedAgain holds for what the table has lost, and while
// it cannot be asked.
func TestHeldStreamHasItsSessionNotedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, table := tenured(t)
		h, _ := f.hold(t, alice)
		end := listened(h)
		table.lose()
		if got := f.postTo(t, alice, olderSession); got != http.StatusNotFound {
			t.Errorf("what nobody knows: %d", got)
		}
		expect := func(when string) {
			t.Helper()
			for who, want := range map[string]int{alice: 202, bob: 404, "": 404} {
				if got := f.postTo(t, who, olderSession); got != want {
					t.Errorf("%s: %q: %d", when, who, got)
				}
			}
		}
		later(tenureEvery)
		expect("soon after")

		table.fail("find", 1)
		table.fail("bind", 1)
		later(10 * tenureEvery)
		table.lose()
		table.fail("find", 0)
		later(tenureEvery)
		if got := f.postTo(t, alice, olderSession); got != http.StatusNotFound {
			t.Errorf("where it can be asked, and not told: %d", got)
		}
		table.fail("bind", 0)
		later(tenureEvery)
		expect("soon after it was away")
		if len(end) > 0 {
			t.Error("the stream has ended")
		}
	})
}

// TestHeldStreamKeepsASessionThatIsNotUsed holds for longer than others are kept.
func TestHeldStreamKeepsASessionThatIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, table := tenured(t)
		h, _ := f.hold(t, alice)
		end := listened(h)
		later(25 * time.Hour)
		if got := f.postTo(t, alice, olderSession); got != http.StatusAccepted || len(end) > 0 {
			t.Errorf("%d", got)
		}
		h.Body.Close()
		<-end
		synctest.Wait()
		table.was()
		later(time.Hour)
		if asked := table.was(); len(asked) > 0 || table.Count() > 0 {
			t.Errorf("behind its end the table is asked %q, and knows %d", asked, table.Count())
		}
	})
}

// TestStreamWhoseSessionHasBecomeAnothersIsCut holds for a server that gives both the
// same, and that the other keeps it.
func TestStreamWhoseSessionHasBecomeAnothersIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, table := tenured(t)
		h, _ := f.hold(t, alice)
		end := listened(h)
		table.lose()
		key := binding.KeyOf(byQuery, "", "one")
		theirs := binding.Binding{Owner: binding.Owner{Tenant: "tenant", Object: bob}, Upstream: nobody}
		if _, err := table.Bind(t.Context(), key, theirs); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := <-end; err == nil || time.Since(began) > tenureEvery {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		synctest.Wait()
		if now, err := table.Find(t.Context(), key); err != nil || now[0] != theirs {
			t.Errorf("it is of %v then, %v", now, err)
		}
	})
}

// TestStreamOfNobodyStaysWithWhoSignsIn holds for who posts with a token, and also
// when that was lost.
func TestStreamOfNobodyStaysWithWhoSignsIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, table := tenured(t)
		h, _ := f.hold(t, "")
		end := listened(h)
		if got := f.postTo(t, alice, olderSession); got != http.StatusAccepted {
			t.Errorf("who signs in: %d", got)
		}
		later(2 * tenureEvery)
		table.lose()
		later(tenureEvery)
		for who, want := range map[string]int{bob: 404, "": 404, alice: 202} {
			if got := f.postTo(t, who, olderSession); got != want {
				t.Errorf("%q: %d", who, got)
			}
		}
		if len(end) > 0 {
			t.Error("the stream has ended")
		}
	})
}

// TestStreamOfATableOfOnesOwnAsksNothingMore holds in memory, which loses nothing.
func TestStreamOfATableOfOnesOwnAsksNothingMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, table := tenured(t)
		table.shared = false
		h, _ := f.hold(t, alice)
		end := listened(h)
		table.was()
		later(time.Hour)
		if asked := table.was(); len(asked) > 0 || len(end) > 0 {
			t.Errorf("it is asked %q", asked)
		}
	})
}

// TestEndpointThatIsCutShowsNothingMore holds for who reads it, and for what has come
// by then.
func TestEndpointThatIsCutShowsNothingMore(t *testing.T) {
	t.Parallel()
	src, up := io.Pipe()
	ended := 0
	w := &endpoint{src: src, begin: func(string) (func(), error) { return func() { ended++ }, nil }}
	read := make(chan error)
	go func() {
		_, err := w.Read(make([]byte, 10))
		read <- err
	}()
	w.cut(errShared)
	if err := <-read; !errors.Is(err, errShared) {
		t.Errorf("who reads gets %v", err)
	}
	if n, err := w.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errShared) {
		t.Errorf("who reads again gets %d, %v", n, err)
	}
	if _, err := up.Write([]byte("x")); err == nil {
		t.Error("the upstream is not told")
	}
	w.Close()
	if ended != 0 {
		t.Error("what had not begun is ended")
	}
}
