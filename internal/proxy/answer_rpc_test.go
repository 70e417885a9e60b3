package proxy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAnswerWithAnIDIsTheErrorOfThatRequest(t *testing.T) {
	t.Parallel()
	a := Answer{
		Status: 511, Type: "sign-in-needed", Title: "A sign-in is needed", Detail: "az: no\nsession\u2028 here. Nothing was sent.",
		Hint: "az login --scope \"api://x/.default\"", Reason: "http_request_denied", RetryAfter: 1500 * time.Millisecond, Final: true,
		ID: json.RawMessage(`"\u0061<&>"`),
	}
	w := httptest.NewRecorder()
	a.write(w, httptest.NewRequest(http.MethodPost, "/", nil))
	want := `{"jsonrpc":"2.0","id":"\u0061<&>","error":{"code":-32016,` +
		`"message":"A sign-in is needed: az: no session  here. Nothing was sent. Hint: az login --scope \"api://x/.default\"",` +
		`"data":{"type":"urn:injectproxy:problem:sign-in-needed","title":"A sign-in is needed","status":511,` +
		`"detail":"az: no\nsession\u2028 here. Nothing was sent.","hint":"az login --scope \"api://x/.default\""}}}`
	if got := w.Body.String(); w.Code != http.StatusOK || got != want {
		t.Errorf("status %d\n%s, want\n%s", w.Code, got, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Should-Retry": "false", "Retry-After": "2",
		"Proxy-Status": `injectproxy; error=http_request_denied; details="A sign-in is needed: az: no?session? here. Nothing was sent."`,
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAnswerInOneLineSaysAllThereIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a    Answer
		want string
	}{
		{Answer{Title: "T"}, "T"},
		{Answer{Title: "T", Hint: "h"}, "T. Hint: h"},
		{Answer{Title: "T", Detail: "D."}, "T: D."},
		{Answer{Title: "T", Detail: "D.", Hint: "h"}, "T: D. Hint: h"},
		{Answer{Title: "T", Detail: "D", Hint: "a\r\n\tb\x1b[0m"}, "T: D. Hint: a   b [0m"},
	} {
		if got := tt.a.Line(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestAnswerTellsWhatTheUpstreamSaid(t *testing.T) {
	t.Parallel()
	a := Answer{Status: 502, Title: "T", Received: 401}
	if got := a.proxyStatus(); got != `injectproxy; received-status=401; details="T"` {
		t.Error(got)
	}
}

func TestFinalAnswerToAMessageThatWantsNoneIsAnErrorOfNobody(t *testing.T) {
	t.Parallel()
	a := Answer{Status: 511, Type: "sign-in-needed", Title: "A sign-in is needed", Hint: "az login", Unasked: true}
	for _, final := range []bool{true, false} {
		a.Final = final
		w := httptest.NewRecorder()
		a.write(w, httptest.NewRequest(http.MethodPost, "/", nil))
		want := `{"type":"urn:injectproxy:problem:sign-in-needed","title":"A sign-in is needed","status":511,"hint":"az login"}`
		if final {
			want = `{"jsonrpc":"2.0","id":"",` + want[1:len(want)-1] +
				`,"error":{"code":-32016,"type":"sign-in-needed","message":"A sign-in is needed. Hint: az login"}}`
		}
		if got := w.Body.String(); w.Code != 511 || got != want+"\n" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("status %d, %v\n%s, want\n%s", w.Code, w.Header(), got, want)
		}
	}
}
