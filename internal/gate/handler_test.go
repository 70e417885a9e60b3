package gate

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/verify"
)

func TestAMistakeOfTheRuntimesIsNamed(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	f := open(t, Options{Log: slog.New(slog.NewTextHandler(&lines, nil)), Verify: func(context.Context, string) (*verify.Caller, error) {
		var none []*verify.Caller
		return none[len(none)], nil
	}}, "mcp.example", nobody)
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://mcp.example/", nil)
	r.Header.Set("Authorization", "Bearer "+canary)
	if f.ServeHTTP(w, r); w.Code != 500 || !strings.Contains(lines.String(), "index out of range") {
		t.Errorf("%d, said %s", w.Code, &lines)
	}
}

// TestAPanicBehindTheHeaderBreaksTheAnswerOff holds that the client does not take
// what there is for an answer.
func TestAPanicBehindTheHeaderBreaksTheAnswerOff(t *testing.T) {
	t.Parallel()
	url, _ := witness(t)
	f := stand(t, Options{Answered: func(*Request) { panic("of what is told") }}, url)
	if res, err := f.client.Do(f.request(t, "GET", "/", "")); err == nil {
		res.Body.Close()
		t.Errorf("answered by %s", res.Status)
	}
}

func TestAPanicLeavesNothingOfTheAnswerThatFailed(t *testing.T) {
	t.Parallel()
	f := open(t, Options{}, "mcp.example", nobody)
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://mcp.example/", nil)
	x := &exchange{r: r, seen: &Request{}, route: f.routes[0]}
	out := &response{ResponseWriter: w, x: x}
	x.w, x.body = out, newBody(out, r)
	out.Header().Set(headerSession, "x")
	if left := f.panicked(x, out, "x"); left != nil || w.Code != http.StatusInternalServerError || w.Header().Get(headerSession) != "" {
		t.Errorf("%v, %d, %v", left, w.Code, w.Header())
	}
}

// TestWhatNoRouteTakesIsToldWhenItIsRefused holds that a wrong public_url, or what
// stands in front and changes paths, is no silence.
func TestWhatNoRouteTakesIsToldWhenItIsRefused(t *testing.T) {
	t.Parallel()
	var began []string
	o := Options{PublicURL: urls(t, "https://mcp.example")[0], Routes: []Route{{Path: "/mcp", Allow: true}}}
	o.Began = func(r *Request, _ http.Header) { began = append(began, r.Path) }
	f := open(t, o, "mcp.example", nobody)
	for _, c := range []struct {
		method, host, path string
		status             int
		denied             string
	}{
		{"GET", "evil.example", "/mcp", 421, deniedHost},
		{"GET", "", "/mcp", 400, deniedHost},
		{"GET", "mcp.example", "/other", 404, deniedPath},
		{"GET", "mcp.example", "/mcp/../x", 400, deniedPath},
		{"GET", "mcp.example", "/healthz", 200, ""},
		{"GET", "mcp.example", resourceMetadata, 200, ""},
		{"GET", "mcp.example", resourceMetadata + "/other", 404, ""},
	} {
		began = nil
		r, w := httptest.NewRequestWithContext(t.Context(), c.method, "http://mcp.example"+c.path, nil), httptest.NewRecorder()
		r.Host = c.host
		f.ServeHTTP(w, r)
		if w.Code != c.status || len(began) != len(f.done) || len(began) != map[bool]int{true: 1}[c.denied != ""] {
			t.Fatalf("%+v: %d; told of the beginning of %q, and of %d ends", c, w.Code, began, len(f.done))
		}
		if c.denied == "" {
			continue
		}
		if done := <-f.done; done.Route != "" || done.Denied != c.denied || done.Status != c.status || done.Path != c.path || done.Remote == "" {
			t.Errorf("%+v: told of %+v", c, done)
		}
	}
}
