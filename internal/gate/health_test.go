package gate

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestHealthNeedsNoTokenAndNoHost(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	upstream := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") })
	f := stand(t, Options{Ready: ready.Load, Verify: verdicts}, upstream.URL)
	for _, tt := range []struct {
		method, path string
		ready        bool
		status       int
		body         string
	}{
		{"GET", "/healthz", false, 200, "ok\n"}, {"HEAD", "/healthz", false, 200, ""}, {"GET", "/healthz?x", true, 200, "ok\n"},
		{"GET", "/readyz", false, 503, "not ready\n"}, {"HEAD", "/readyz", false, 503, ""}, {"GET", "/readyz", true, 200, "ok\n"},
		{"OPTIONS", "/healthz", true, 405, ""}, {"DELETE", "/readyz", false, 405, ""}, {"POST", "/readyz", true, 405, ""},
		{"GET", "/healthz/", true, 401, ""}, {"GET", "/Healthz", true, 401, ""}, {"GET", "/readyz/x", true, 401, ""},
	} {
		ready.Store(tt.ready)
		req := f.request(t, tt.method, tt.path, "")
		req.Header = http.Header{"Origin": {"https://page.example"}}
		if tt.status != 401 {
			req.Host = "10.0.0.7:8080" // a load balancer asks by address
		} else {
			req.Header.Del("Origin")
		}
		res, body := f.do(t, req)
		if res.StatusCode != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%s %s, ready: %v: %s %q", tt.method, tt.path, tt.ready, res.Status, body)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: pages may read it", tt.method, tt.path)
		}
	}
}

func TestGateThatDrainsIsAliveAndNotReady(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{}, serve(t, reached).URL)
	ask := func(path string) int {
		w := httptest.NewRecorder()
		x := &exchange{w: w, r: httptest.NewRequest(http.MethodGet, path, nil), seen: &Request{}}
		f.health(x)
		return w.Code
	}
	if alive, ready := ask("/healthz"), ask("/readyz"); alive != 200 || ready != 200 {
		t.Errorf("before: %d, %d", alive, ready)
	}
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if alive, ready := ask("/healthz"), ask("/readyz"); alive != 200 || ready != 503 {
		t.Errorf("draining: %d, %d", alive, ready)
	}
}
