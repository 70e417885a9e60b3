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
