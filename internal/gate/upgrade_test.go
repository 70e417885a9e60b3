package gate

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// echoing is an upstream of WebSocket that repeats what it is sent and closes
// ended when it is over.
func echoing(t *testing.T, ended chan<- struct{}) (url string, heard func() http.Header) {
	h, headers := echoes(t, ended)
	return serve(t, h).URL, func() http.Header { return <-headers }
}

// echoes is the handler of one, for one connection.
func echoes(t *testing.T, ended chan<- struct{}) (http.HandlerFunc, <-chan http.Header) {
	headers := make(chan http.Header, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer close(ended)
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(context.WithoutCancel(r.Context()))
			if err != nil {
				return
			}
			if err := c.Write(context.WithoutCancel(r.Context()), kind, b); err != nil {
				return
			}
		}
	}, headers
}

func (f *front) dial(t *testing.T, path string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+path, &websocket.DialOptions{
		HTTPClient: f.client, HTTPHeader: http.Header{"Authorization": {"Bearer " + canary}, "X-Forwarded-User": {"root"}},
	})
	if c != nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, res, err
}

func (f *front) echo(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(t.Context()); err != nil || string(b) != text {
		t.Fatalf("got %.20q, %v", b, err)
	}
}

func TestWebSocketPassesWhereNothingIsDecided(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	url, heard := echoing(t, ended)
	f := stand(t, Options{Routes: routesOf("auto")}, url)
	c, res, err := f.dial(t, "/plain")
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	f.echo(t, c, "one")
	f.echo(t, c, strings.Repeat("x", 20_000))
	if h := heard(); h.Get("Authorization") != "" || h.Get("X-Forwarded-User") != "" {
		t.Errorf("the upstream saw %v", h)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	<-ended
	if done := <-f.done; done.Status != 101 || !done.Stream || done.Bytes < 20_000 {
		t.Errorf("told of %+v", done)
	}
}

func TestWebSocketIsRefusedWhereItsMessagesWouldBeJudged(t *testing.T) {
	t.Parallel()
	url, _ := echoing(t, make(chan struct{}))
	f := stand(t, Options{Routes: routesOf("auto")}, url)
	_, res, err := f.dial(t, "/judged")
	if err == nil || res.StatusCode != 403 || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%v, %v", res, err)
	}
	if done := <-f.done; done.Denied != deniedUpgrade || done.Allowed {
		t.Errorf("told of %+v", done)
	}
}

func TestWebSocketWithoutATokenIsRefused(t *testing.T) {
	t.Parallel()
	url, _ := echoing(t, make(chan struct{}))
	f := stand(t, Options{Routes: routesOf("auto")}, url)
	for _, path := range []string{"/plain", "/judged"} {
		_, res, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+path, nil)
		if err == nil || res.StatusCode != 401 {
			t.Errorf("%s: %v, %v", path, res, err)
		}
	}
}

func TestWebSocketEndsAMinuteBehindTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		h, _ := echoes(t, ended)
		f := inside(t, Options{Routes: routesOf("auto")}, h)
		began := time.Now()
		c, _, err := f.dial(t, "/plain") // with a token for an hour
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(t.Context()); err == nil || time.Since(began) != time.Hour+time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		<-ended
	})
}

func TestAShutdownCutsWebSocketsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	url, _ := echoing(t, ended)
	f := stand(t, Options{Routes: routesOf("auto")}, url)
	c, _, err := f.dial(t, "/plain")
	if err != nil {
		t.Fatal(err)
	}
	ctx, over := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- f.Shutdown(ctx) }()
	<-f.draining
	f.echo(t, c, "still there")
	over()
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("something was said")
	}
	if err := <-down; err != context.Canceled {
		t.Errorf("Shutdown: %v", err)
	}
	<-ended
}

func TestOtherUpgradesAreIgnored(t *testing.T) {
	t.Parallel()
	url, heard := witness(t)
	f := stand(t, Options{Routes: routesOf("auto")}, url)
	for _, protocol := range []string{"h2c", "TLS/1.3", "foo"} {
		for _, path := range []string{"/plain", "/judged"} {
			req := f.request(t, "POST", path, callEcho)
			req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade, HTTP2-Settings"}, []string{protocol}
			req.Header.Set("Http2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
			res, _ := f.do(t, req)
			if got := heard(); res.StatusCode != 200 || strings.Contains(got, "Upgrade") || strings.Contains(got, "Settings") {
				t.Errorf("%s: %s, the upstream saw\n%s", protocol, res.Status, got)
			}
		}
	}
}
