package entratest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

var tokenRequests = entratest.Request{Endpoint: entratest.TokenEndpoint}

func TestHangingRequestHonoursTheClientsContext(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]entratest.Failure{
		"hang": {Hang: true}, "delay": {Delay: time.Hour}, "hang before an error": {Hang: true, Code: 50076},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.Fail(failure)
			c := secretCredential(t, a, secret)
			ctx, cancel := context.WithCancel(guarded(t))
			failed := make(chan error, 1)
			go func() {
				_, err := get(ctx, c, vault+"/.default")
				failed <- err
			}()
			if err := a.WaitRequests(guarded(t), 1, tokenRequests); err != nil {
				t.Fatal(err)
			}
			if n := a.InFlight(tokenRequests); n != 1 {
				t.Errorf("%d requests in flight, want 1", n)
			}
			cancel()
			if err := <-failed; err == nil || ctx.Err() == nil {
				t.Errorf("the credential returned %v", err)
			}
			if err := a.WaitIdle(guarded(t), entratest.Request{}); err != nil {
				t.Errorf("the authority still holds the request: %v", err)
			}
		})
	}
}

func TestReleasedRequestIsAnswered(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]entratest.Failure{"hang": {Hang: true}, "delay": {Delay: time.Hour}} {
		for _, byClear := range []bool{false, true} {
			t.Run(fmt.Sprint(name, byClear), func(t *testing.T) {
				t.Parallel()
				a := start(t)
				release := a.FailNext(2, failure)
				if byClear {
					release = a.Clear
				}
				ctx := guarded(t)
				answers := make(chan error, 2)
				for range 2 {
					go func() {
						code, err := ask(ctx, a, tenant, secretForm(nil))
						if code != 0 {
							err = fmt.Errorf("AADSTS%d", code)
						}
						answers <- err
					}()
				}
				if err := a.WaitRequests(guarded(t), 2, tokenRequests); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-answers:
					t.Fatalf("answered with %v while held", err)
				default:
				}
				release()
				if err := errors.Join(<-answers, <-answers); err != nil {
					t.Errorf("after the release: %v", err)
				}
			})
		}
	}
}

func TestResetCutsTheConnectionWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.FailNext(1, entratest.Failure{Reset: true})
	resp, err := a.HTTPClient().PostForm(a.URL()+"/"+tenant+"/oauth2/v2.0/token", secretForm(nil))
	if err == nil {
		resp.Body.Close()
		t.Fatalf("answered with status %d", resp.StatusCode)
	}
	if code := post(t.Context(), t, a, tenant, secretForm(nil)); code != 0 {
		t.Errorf("the request after it: AADSTS%d", code)
	}
}

func TestDownAuthorityResetsConnectionsAndKeepsItsPort(t *testing.T) {
	t.Parallel()
	a := start(t)
	if code := post(t.Context(), t, a, tenant, secretForm(nil)); code != 0 {
		t.Fatalf("AADSTS%d", code)
	}
	a.Fail(entratest.Failure{Hang: true})
	cut := make(chan error, 1)
	go func() {
		resp, err := a.HTTPClient().PostForm(a.URL()+"/"+tenant+"/oauth2/v2.0/token", secretForm(nil))
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	if err := a.WaitRequests(guarded(t), 2, tokenRequests); err != nil {
		t.Fatal(err)
	}
	a.Down()
	if err := <-cut; err == nil {
		t.Error("a request in flight was answered")
	}
	a.Clear()
	if _, err := get(t.Context(), secretCredential(t, a, secret), vault+"/.default"); err == nil {
		t.Error("a request was answered while down")
	}
	a.Up()
	if _, err := get(t.Context(), secretCredential(t, a, secret), vault+"/.default"); err != nil {
		t.Errorf("up again: %v", err)
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.Fail(entratest.Failure{Hang: true})
	// One connection of HTTP/1.1, whose end the server notices otherwise
	// than that of HTTP/2.
	old := a.HTTPClient().Transport.(*http.Transport).Clone()
	old.ForceAttemptHTTP2 = false
	old.TLSClientConfig.NextProtos = []string{"http/1.1"}
	old.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	defer old.CloseIdleConnections()
	failed := make(chan error, 2)
	for _, c := range []*http.Client{a.HTTPClient(), {Transport: old}} {
		go func() {
			resp, err := c.PostForm(a.URL()+"/"+tenant+"/oauth2/v2.0/token", secretForm(nil))
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
	}
	if err := a.WaitRequests(guarded(t), 2, tokenRequests); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if one, two := <-failed, <-failed; one == nil || two == nil {
		t.Error("a hanging request was answered at Close")
	}
	if n := a.InFlight(entratest.Request{}); n != 0 {
		t.Errorf("%d requests in flight after Close", n)
	}
}
