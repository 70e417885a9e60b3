package source

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestHangingAuthorityIsLeftWhenTheContextEnds(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api})
	c.Fail(entratest.Failure{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := src.Token(ctx, token.Ask{})
		done <- err
	}()
	c.wait(1)
	cancel()
	if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestHangingAuthorityIsLeftAtTheLimit(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api})
	src.limit = 50 * time.Millisecond
	c.Fail(entratest.Failure{Endpoint: entratest.DiscoveryEndpoint, Hang: true})
	_, err := src.Token(context.WithoutCancel(t.Context()), token.Ask{}) // would hang without a limit
	if e := wantError(t, err, token.Transient); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestCloseEndsCallsAndWaitsForThem(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api})
	c.Fail(entratest.Failure{Hang: true})
	const callers = maxCalls + 2 // some have to wait for others
	done := make(chan error, callers)
	for range callers {
		go func() {
			_, err := src.Token(t.Context(), token.Ask{})
			done <- err
		}()
	}
	c.wait(maxCalls)
	if n := c.Count(entratest.Request{Endpoint: entratest.TokenEndpoint}); n > maxCalls {
		t.Errorf("%d calls at once", n)
	}
	src.Close()
	src.Close() // does no harm
	for range callers {
		wantError(t, <-done, token.Transient)
	}
	if _, err := src.Token(t.Context(), token.Ask{}); err == nil {
		t.Error("a closed source yields tokens")
	}
}

func TestProxyIsAskedForTheAuthorityAlone(t *testing.T) {
	cloud := newAzure(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			c := cloud.in(t)
			k.use(c)
			var asked atomic.Int32
			transport := c.transport()
			transport.Proxy = func(*http.Request) (*url.URL, error) {
				asked.Add(1)
				return nil, nil
			}
			src := c.sourceWith(Entra{ClientID: api}, DefaultOptions{AuthorityHost: c.URL(), DisableInstanceDiscovery: true, Transport: transport})
			if _, err := src.Token(t.Context(), token.Ask{Claims: "{}"}); err != nil {
				t.Fatal(err)
			}
			if got := asked.Load() > 0; got == k.managed {
				t.Errorf("asked for a proxy: %v", got)
			}
		})
	}
	if p := newClient(nil).Transport.(*http.Transport).Proxy; p != nil {
		t.Error("the environment's proxy would be used")
	}
}

func TestPanicIsAnErrorOfThatCallAlone(t *testing.T) {
	c := newAzure(t)
	c.secret()
	transport := c.transport()
	var calls atomic.Int32
	transport.Proxy = func(*http.Request) (*url.URL, error) {
		if calls.Add(1) == 1 {
			panic(canary)
		}
		return nil, nil
	}
	src := c.sourceWith(Entra{ClientID: api}, DefaultOptions{AuthorityHost: c.URL(), DisableInstanceDiscovery: true, Transport: transport})
	_, err := src.Token(t.Context(), token.Ask{})
	wantError(t, err, token.Unknown)
	if _, err := src.Token(t.Context(), token.Ask{}); err != nil {
		t.Error(err)
	}
}

func TestCommandsDoNotSeeWhatAzidentityIsTold(t *testing.T) {
	c := newAzure(t)
	src := c.source(Entra{ClientID: api})
	done := make(chan error, 1)
	go func() {
		for range 200 {
			if _, err := src.credential(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
		if slices.ContainsFunc(environ(), func(kv string) bool { return strings.HasPrefix(kv, chainVariable+"=") }) {
			t.Error("a command would see " + chainVariable)
			<-done
			return
		}
	}
}

func (c *azure) wait(n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := c.WaitRequests(ctx, n, entratest.Request{Endpoint: entratest.TokenEndpoint}); err != nil {
		c.t.Fatal(err)
	}
}
