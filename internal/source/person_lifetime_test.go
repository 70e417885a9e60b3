package source

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestEachSourceGoesItsOwnWayToTheAuthority(t *testing.T) {
	d := newDesk(t)
	d.signedIn(Entra{ClientID: api, Tenant: tenant})
	o := d.options()
	var asked atomic.Int32
	o.Transport.Proxy = func(*http.Request) (*url.URL, error) {
		asked.Add(1)
		return nil, nil
	}
	d.wantToken(d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o), token.Ask{Rejected: other(t)}, api)
	if asked.Load() == 0 {
		t.Error("a session keeps to the way of the source that it was made by")
	}
}

func TestTokensComeWhileSomebodyIsAskedToSignIn(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithCancel(guarded(t))
	told, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.SignIn(ctx, "", func(string) { close(told) }) }()
	<-told
	d.wantToken(p, token.Ask{Rejected: other(t)}, api)
	cancel()
	if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	d.wantToken(p, token.Ask{Rejected: other(t)}, api)
}

func TestSignInEndsWithItsContext(t *testing.T) {
	d := newDesk(t)
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := p.SignIn(ctx, "", func(string) {}) // nobody is there
	if e := wantError(t, err, token.SignIn); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	if err := p.SignIn(guarded(t), "", d.attend(grace)); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestContextThatIsOverIsNoFailureOfTheAuthority(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Below the goroutine, which would not be waited for.
	r := p.acquire(ctx, token.Ask{Rejected: other(t)}, new(hearing))
	if e := wantError(t, r.err, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	err := p.interact(ctx, "", &teller{tell: nobodyIsTold(t)})
	if e := wantError(t, err, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestHangingRefreshIsLeftAtTheLimit(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	p.limit = 50 * time.Millisecond
	d.Fail(entratest.Failure{Hang: true})
	_, err := p.Token(context.WithoutCancel(t.Context()), token.Ask{Rejected: other(t)})
	if e := wantError(t, err, token.Transient); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestCloseEndsSignInsAndCalls(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	d.Fail(entratest.Failure{Hang: true})
	const callers = maxCalls + 1 // one has to wait for another
	done, told := make(chan error, callers+1), make(chan struct{})
	go func() { done <- p.SignIn(guarded(t), "", func(string) { close(told) }) }()
	<-told
	for range callers {
		go func() {
			_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
			done <- err
		}()
	}
	if err := d.WaitRequests(guarded(t), 1, entratest.Request{Grant: "refresh_token"}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close() // does no harm
	for range callers + 1 {
		if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
			t.Errorf("%v does not wrap the context's error", e)
		}
	}
	d.Clear()
	if _, err := p.Token(guarded(t), token.Ask{}); err == nil {
		t.Error("a closed source yields tokens")
	}
	wantError(t, p.SignIn(guarded(t), "", nobodyIsTold(t)), token.Transient)
}

func TestNobodyIsToldAfterTheSignInHasEnded(t *testing.T) {
	d := newDesk(t)
	entered, release := make(chan struct{}), make(chan struct{})
	d.sessions.store = func() (azidentity.Cache, bool) {
		close(entered)
		<-release // as a keychain that asks for its password does
		return azidentity.Cache{}, false
	}
	p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithCancel(guarded(t))
	done := make(chan error, 1)
	go func() { done <- p.SignIn(ctx, "", nobodyIsTold(t)) }()
	<-entered
	cancel()
	wantError(t, <-done, token.Transient)
	close(release)
	p.Close() // waits for what would tell
}
