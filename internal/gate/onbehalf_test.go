package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/injectproxy/injectproxy/internal/challenge"
	onbehalf "github.com/injectproxy/injectproxy/internal/exchange"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// bureau exchanges the tokens of the tests. Its own begin with "given", and tell
// apart whose they are and how often they were replaced.
type bureau struct {
	exchange func(ctx context.Context, assertion string) (string, error) // in place of its own; may be nil
	again    func(ctx context.Context, claims string) (string, error)    // likewise

	mu       sync.Mutex
	asked    int
	claims   []string       // of each Again
	replaced map[string]int // by assertion
}

// of is the token that stands for an assertion at the moment.
func (b *bureau) of(assertion string) string {
	return fmt.Sprintf("given-%.6x-%d", sha256.Sum256([]byte(assertion)), b.replaced[assertion])
}

func (b *bureau) Exchange(ctx context.Context, tenant, assertion string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	switch {
	case tenant != "tenant":
		return "", errors.New("of another tenant")
	case b.exchange != nil:
		b.mu.Unlock()
		defer b.mu.Lock()
		return b.exchange(ctx, assertion)
	}
	return b.of(assertion), nil
}

func (b *bureau) Again(ctx context.Context, tenant, assertion, refused, claims string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims = append(b.claims, claims)
	switch {
	case tenant != "tenant":
		return "", errors.New("of another tenant")
	case b.again != nil:
		b.mu.Unlock()
		defer b.mu.Lock()
		return b.again(ctx, claims)
	case refused == b.of(assertion):
		if b.replaced == nil {
			b.replaced = map[string]int{}
		}
		b.replaced[assertion]++
	}
	return b.of(assertion), nil
}

// counts returns how often the bureau was asked, and for another token.
func (b *bureau) counts() (asked, again int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked, len(b.claims)
}

func refusing(r onbehalf.Refusal) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return "", &r }
}

// behalf are the routes of routesOf, on behalf of users.
func behalf(protocol string, b *bureau) []Route {
	routes := routesOf(protocol)
	for i := range routes {
		routes[i].OnBehalfOf = b
	}
	return routes
}

// each is a request of every kind that a route takes.
var each = []struct{ name, method, body string }{
	{"a request", "POST", callEcho},
	{"a batch", "POST", `[` + callEcho + `,{"jsonrpc":"2.0","id":"b","method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"}]`},
	{"a notification", "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
	{"a response", "POST", `{"jsonrpc":"2.0","id":7,"result":{}}`},
	{"a stream", "GET", ""},
	{"an end", "DELETE", ""},
}

func TestTheUpstreamIsShownWhatTheCallersTokenWasExchangedFor(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		url, heard := witness(t)
		office := new(bureau)
		f := stand(t, Options{Routes: behalf(wire.up, office)}, url).over(t, wire.down)
		for _, path := range []string{"/judged", "/plain"} {
			for _, what := range each {
				req := f.request(t, what.method, path, what.body)
				req.Header.Set("X-Authorization", "Bearer forged")
				req.Header["authorization_"] = []string{"Bearer forged"}
				res, _ := f.do(t, req)
				got := heard()
				if want := "Authorization: Bearer " + office.of(canary) + "\r\n"; res.StatusCode != 200 || strings.Count(got, want) != 1 || strings.Contains(got, canary) || strings.Count(got, what.method+" "+path) != 1 {
					t.Errorf("%v, %s on %s: %s, the upstream saw\n%s", wire, what.name, path, res.Status, got)
				}
				if done := <-f.done; !done.Allowed || done.Exchange != "ok" || done.Denied != "" || done.Attempts != 1 {
					t.Errorf("%s: told of %+v", what.name, done)
				}
			}
		}
		if asked, again := office.counts(); asked != 2*len(each) || again != 0 {
			t.Errorf("%v: tokens were asked for %d times, and %d times again", wire, asked, again)
		}
	}
}

// TestAnExchangedTokenGoesToTheUpstreamAlone holds for an upstream that sends the
// client elsewhere, and for all that is told and logged.
func TestAnExchangedTokenGoesToTheUpstreamAlone(t *testing.T) {
	t.Parallel()
	elsewhere, heardElsewhere := witness(t)
	own, heard := witnessing()
	var lines lockedBuffer
	office := new(bureau)
	routes := append(behalf("auto", office), Route{Path: "/other", Allow: true, Upstreams: urls(t, elsewhere)})
	o := Options{Routes: routes, Log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	o.Began = func(r *Request, h http.Header) { fmt.Fprintf(&lines, "%+v %v\n", r, len(h)) }
	f := stand(t, o, serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Location", elsewhere+"/judged")
		if r.URL.Path == "/plain" {
			w.Header().Set("WWW-Authenticate", `Bearer claims="e30"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("X-Break") != "" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusTemporaryRedirect)
		own(httptest.NewRecorder(), r)
	}).URL)
	for _, path := range []string{"/judged", "/plain", "/other"} {
		for _, broken := range []string{"", "yes"} {
			req := f.request(t, "POST", path, callEcho)
			req.Header.Set("X-Break", broken)
			res, body := f.do(t, req)
			fmt.Fprintf(&lines, "%s %v %s\n%+v\n", res.Status, res.Header, body, <-f.done)
		}
	}
	if got := heard(); !strings.Contains(got, office.of(canary)[:12]) {
		t.Errorf("the upstream saw\n%s", got)
	}
	if got := heardElsewhere(); strings.Contains(got, "given-") || strings.Contains(got, "Authorization") || !strings.Contains(got, "/other") {
		t.Errorf("another upstream saw\n%s", got)
	}
	if said := lines.String(); strings.Contains(said, "given-") || strings.Contains(said, canary) || !strings.Contains(said, "307") {
		t.Errorf("said\n%s", said)
	}
}

// TestNoHeaderOfAnAnswerHasTheExchangedToken holds for servers that send back what
// they are sent, as those do that look for mistakes.
func TestNoHeaderOfAnAnswerHasTheExchangedToken(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		office := new(bureau)
		f := stand(t, Options{Routes: behalf(wire.up, office)}, serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			shown := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			say := func(name string) {
				w.Header()[name] = []string{"well", "Bearer " + shown}
				w.Header()[name+"-Encoded"] = []string{"/?x=" + strings.ReplaceAll(shown, "-", "%2D")}
				w.Header()[name+"-Kept"] = []string{"well"}
			}
			say("X-Early")
			w.WriteHeader(http.StatusEarlyHints)
			clear(w.Header())
			say("X-Debug")
			say(http.TrailerPrefix + "X-Late")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
			_ = http.NewResponseController(w).Flush()
		}).URL).over(t, wire.down)
		for _, path := range []string{"/judged", "/plain"} {
			var hints textproto.MIMEHeader
			req := f.request(t, "POST", path, callEcho)
			req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { hints = h; return nil }}))
			res, body := f.do(t, req)
			if all := fmt.Sprint(hints, res.Header, res.Trailer); res.StatusCode != 200 || strings.Contains(all, "given") || !strings.Contains(body, "result") {
				t.Errorf("%v, %s: %s, %s", wire, path, res.Status, all)
			}
			if hints.Get("X-Early-Kept") != "well" || res.Header.Get("X-Debug-Kept") != "well" || res.Trailer.Get("X-Late-Kept") != "well" {
				t.Errorf("%v, %s: %v, %v, %v", wire, path, hints, res.Header, res.Trailer)
			}
		}
	}
}

// lockedBuffer is written to by many.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestNobodyGetsATokenForWhoIsAnonymous(t *testing.T) {
	t.Parallel()
	url, heard := witness(t)
	office := new(bureau)
	f := stand(t, Options{Routes: []Route{
		{Path: "/optional", Mode: Optional, Allow: true, OnBehalfOf: office, Identity: []IdentityHeader{{"X-Oid", "oid"}}},
		{Path: "/permissive", Mode: Permissive, Allow: true, OnBehalfOf: office, Identity: []IdentityHeader{{"X-Oid", "oid"}}},
	}}, url)
	for path, credential := range map[string]string{"/optional": "", "/permissive": "Bearer a-token-that-is-not-good"} {
		req := f.request(t, "POST", path, callEcho)
		req.Header.Set("X-Oid", "forged")
		if req.Header.Del("Authorization"); credential != "" {
			req.Header.Set("Authorization", credential)
		}
		res, _ := f.do(t, req)
		if got := heard(); res.StatusCode != 200 || strings.Contains(got, "Authorization") || strings.Contains(got, "X-Oid") || !strings.Contains(got, path) {
			t.Errorf("%s: %s, the upstream saw\n%s", path, res.Status, got)
		}
		if done := <-f.done; done.Exchange != "" || !done.Anonymous {
			t.Errorf("told of %+v", done)
		}
	}
	p := new(picky)
	p.least.Store(1)
	f = stand(t, Options{Routes: []Route{{Path: "/", Mode: Optional, Allow: true, OnBehalfOf: office}}}, serve(t, p.ServeHTTP).URL)
	req := f.request(t, "GET", "/", "")
	req.Header.Del("Authorization")
	if res, _ := f.do(t, req); res.StatusCode != 401 || res.Header["Www-Authenticate"] != nil {
		t.Errorf("what the upstream says to who is anonymous became %s, %v", res.Status, res.Header)
	}
	if asked, again := office.counts(); asked+again != 0 {
		t.Errorf("the bureau was asked %d times, and %d times again", asked, again)
	}
}

func TestWhyThereIsNoTokenIsSaidToWhoCanMendIt(t *testing.T) {
	t.Parallel()
	const claims = `{"access_token":{"acrs":{"essential":true,"value":"c1\"ü?>~"}}}`
	type said struct {
		status    int
		challenge string // in it
		readable  bool
		retry     string
		in        string // the body
	}
	for reason, want := range map[*onbehalf.Refusal]said{
		{Reason: onbehalf.Challenged, Claims: claims, Code: 50079}:                                 {403, `Bearer error="insufficient_claims", error_description="`, false, "", "AADSTS50079"},
		{Reason: onbehalf.Challenged, Claims: strings.Repeat(" ", mostEchoed+1) + "{}"}:            {403, "", true, "", "more than fits"},
		{Reason: onbehalf.Challenged, Claims: `{"a":"` + strings.Repeat("x", mostEchoed-8) + `"}`}: {403, `Bearer error="insufficient_claims", error_description="`, false, "", "claims"},
		{Reason: onbehalf.Challenged}:                                                 {401, `Bearer error="invalid_token", `, false, "", "Sign in again"},
		{Reason: onbehalf.SignIn, Code: 50173}:                                        {401, `Bearer error="invalid_token", `, false, "", "AADSTS50173"},
		{Reason: onbehalf.Consent, Code: 65001}:                                       {403, "", true, "", "AADSTS65001"},
		{Reason: onbehalf.Policy, Code: 53003}:                                        {403, "", true, "", "AADSTS53003"},
		{Reason: onbehalf.Misconfigured, Code: 7000215, Detail: "a secret " + canary}: {502, "", false, "", "AADSTS7000215"},
		{Reason: onbehalf.Unavailable}:                                                {503, "", false, "1", "try again"},
		{Reason: onbehalf.Unavailable, RetryAfter: 17 * time.Second}:                  {503, "", false, "17", "try again"},
		{Reason: "another"}:                                                           {502, "", false, "", "operator"},
	} {
		office := &bureau{exchange: refusing(*reason)}
		f := stand(t, Options{Routes: behalf("auto", office)}, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
		for _, path := range []string{"/judged", "/plain"} {
			for _, what := range each {
				res, body := f.do(t, f.request(t, what.method, path, what.body))
				rpc := strings.Contains(what.body, `"method":"tools/call"`)
				status, kind := want.status, "application/problem+json"
				if rpc {
					kind = "application/json"
				}
				if rpc && want.readable {
					status = 200
				}
				h := res.Header
				if res.StatusCode != status || h.Get("Content-Type") != kind || h.Get("Retry-After") != want.retry || h.Get("Cache-Control") != "no-store" ||
					!strings.HasPrefix(h.Get("WWW-Authenticate"), want.challenge) || want.challenge == "" && h["Www-Authenticate"] != nil ||
					!strings.Contains(body, want.in) || !strings.Contains(body, "nothing was sent to the MCP server") || strings.Contains(body, canary) || strings.Contains(body, "AADSTS0") {
					t.Errorf("%s, %s on %s: %s, %v\n%s", reason.Reason, what.name, path, res.Status, h, body)
				}
				if ids := strings.Count(body, `"id":1,`) + strings.Count(body, `"id":"b",`); rpc && ids != strings.Count(what.body, `"id"`) {
					t.Errorf("%s, %s on %s: not every request is answered: %s", reason.Reason, what.name, path, body)
				}
				if asked, invalid := challenge.Read(h["Www-Authenticate"]); want.status == 403 && want.challenge != "" && (asked != reason.Claims || invalid) || want.status != 403 && asked != "" || invalid != (want.status == 401) {
					t.Errorf("%s: the proxy would read %q, %v", reason.Reason, asked, invalid)
				}
				if done := <-f.done; done.Exchange != string(reason.Reason) || done.Denied != "exchange" || done.Allowed || done.Attempts != 0 {
					t.Errorf("%s: told of %+v", reason.Reason, done)
				}
			}
		}
	}
}

func TestOnBehalfOfAnApplicationNothingIsExchanged(t *testing.T) {
	t.Parallel()
	office := new(bureau)
	o := Options{Routes: behalf("auto", office), Verify: func(context.Context, string) (*verify.Caller, error) {
		return &verify.Caller{Tenant: "tenant", Object: "app", Roles: []string{"Reader"}, Expires: time.Now().Add(time.Hour)}, nil
	}}
	f := stand(t, o, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
	for _, path := range []string{"/judged", "/plain"} {
		res, body := f.do(t, f.request(t, "POST", path, callEcho))
		if res.StatusCode != 200 || res.Header["Www-Authenticate"] != nil || !strings.Contains(body, "an application") || !strings.Contains(body, `"id":1,`) {
			t.Errorf("%s: %s, %v, %s", path, res.Status, res.Header, body)
		}
		if done := <-f.done; done.Denied != "application" || done.Exchange != "" {
			t.Errorf("told of %+v", done)
		}
	}
	req := f.request(t, "POST", "/plain", callEcho)
	req.Header.Set("Content-Type", "text/plain")
	if _, body := f.do(t, req); !strings.Contains(body, `"id":1,`) {
		t.Errorf("of another type: %s", body)
	}
	if res, _ := f.do(t, f.request(t, "GET", "/plain", "")); res.StatusCode != 403 {
		t.Errorf("a stream: %s", res.Status)
	}
	if asked, _ := office.counts(); asked != 0 {
		t.Errorf("the bureau was asked %d times", asked)
	}
}

func TestATokenThatEndsWithinFiveMinutesIsNotExchanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		office, left := new(bureau), time.Duration(0)
		o := Options{Routes: behalf("1.1", office), Verify: func(context.Context, string) (*verify.Caller, error) {
			c := somebody()
			c.Expires = time.Now().Add(left)
			return c, nil
		}}
		f := inside(t, o, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		for _, path := range []string{"/judged", "/plain"} {
			for _, left = range []time.Duration{time.Hour, 300 * time.Second, 299 * time.Second, 0, -30 * time.Second} {
				res, body := f.do(t, f.request(t, "POST", path, callEcho))
				done := <-f.done
				if left >= 300*time.Second {
					if res.StatusCode != 200 || done.Exchange != "ok" {
						t.Errorf("%s: %s, %s", left, res.Status, body)
					}
					continue
				}
				claims, invalid := challenge.Read(res.Header["Www-Authenticate"])
				if res.StatusCode != 401 || claims != "" || !invalid || !strings.Contains(res.Header.Get("WWW-Authenticate"), "less than 5 minutes") ||
					!strings.Contains(res.Header.Get("WWW-Authenticate"), "resource_metadata=") || !strings.Contains(body, `"id":1,`) || done.Denied != "ending" || done.Exchange != "" {
					t.Errorf("%s: %s, %v, %s; told of %+v", left, res.Status, res.Header, body, done)
				}
			}
		}
		if asked, _ := office.counts(); asked != 4 {
			t.Errorf("the bureau was asked %d times", asked)
		}
	})
}

// TestWhatIsNoOtherTokenIsNotSent holds that a mistake of who exchanges tokens
// cannot send the caller's own, nor break a header.
func TestWhatIsNoOtherTokenIsNotSent(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"", canary, "a b", "a\r\nX-Evil: yes", "a\x00", "ä", "==", " a", "a\n"} {
		office := &bureau{exchange: func(context.Context, string) (string, error) { return given, nil }}
		f := stand(t, Options{Routes: behalf("auto", office)}, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
		res, body := f.do(t, f.request(t, "POST", "/judged", callEcho))
		if done := <-f.done; res.StatusCode != 502 || strings.Contains(body, canary) || done.Exchange != "misconfigured" {
			t.Errorf("%q: %s, %s; told of %+v", given, res.Status, body, done)
		}
	}
	office := &bureau{exchange: func(context.Context, string) (string, error) { return "", errors.New("of " + canary) }}
	f := stand(t, Options{Routes: behalf("auto", office)}, nobody)
	if res, body := f.do(t, f.request(t, "POST", "/judged", callEcho)); res.StatusCode != 503 || strings.Contains(body, canary) {
		t.Errorf("%s, %s", res.Status, body)
	}
}

func TestExplainExchangesNothing(t *testing.T) {
	t.Parallel()
	office := new(bureau)
	f := open(t, Options{Routes: behalf("auto", office)}, "mcp.example", nobody)
	r := httptest.NewRequest("GET", "http://mcp.example/plain", nil)
	r.Header.Set("Authorization", "Bearer "+canary)
	if seen, _ := f.Explain(httptest.NewRecorder(), r); !seen.Allowed {
		t.Errorf("%+v", seen)
	}
	if asked, _ := office.counts(); asked != 0 {
		t.Error("the bureau was asked")
	}
}

func TestAWebSocketIsOpenedWithTheExchangedToken(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	h, headers := echoes(t, ended)
	office := new(bureau)
	shown := make(chan string, 2)
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if shown <- r.Header.Get("Authorization"); strings.HasSuffix(r.Header.Get("Authorization"), "-0") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(w, r)
	})
	f := stand(t, Options{Routes: behalf("auto", office)}, upstream.URL)
	first := "Bearer " + office.of(canary)
	c, _, err := f.dial(t, "/plain")
	if err != nil {
		t.Fatal(err)
	}
	f.echo(t, c, "hello")
	if got, again := <-shown, <-shown; got != first || again != "Bearer "+office.of(canary) || again == first {
		t.Errorf("the upstream was shown %q, and then %q", got, again)
	}
	if got := fmt.Sprint(<-headers); strings.Contains(got, canary) {
		t.Errorf("the upstream saw %s", got)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	<-ended
}

// TestWhereToConsentIsNotSaidByHalf holds for a gate that does not know all of it.
func TestWhereToConsentIsNotSaidByHalf(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{ClientID: "a"}, {Authority: "https://login.example"}} {
		if at := (&Gate{o: o}).consentAt("tenant"); at != "" {
			t.Errorf("%+v: %s", o, at)
		}
	}
}

func TestWhatTheOperatorHasToMendIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines lockedBuffer
		office := new(bureau)
		o := Options{
			Routes: behalf("1.1", office), Authority: "https://login.example", ClientID: "11111111-aaaa", Log: slog.New(slog.NewTextHandler(&lines, nil)),
		}
		f := inside(t, o, func(http.ResponseWriter, *http.Request) {})
		for _, c := range []struct {
			refusal onbehalf.Refusal
			times   int
			want    []string
		}{
			{onbehalf.Refusal{Reason: onbehalf.Consent, Code: 65001, Detail: "as Entra says"}, 2, []string{
				"level=WARN", "NOBODY HAS CONSENTED", "route=/judged", "code=AADSTS65001", `error="as Entra says"`, "https://login.example/tenant/adminconsent with the query client_id=11111111-aaaa",
			}},
			{onbehalf.Refusal{Reason: onbehalf.Misconfigured, Code: 7000215, Detail: "of the secret"}, 2, []string{"level=ERROR", "route=/judged", "AADSTS7000215", "of the secret"}},
			{onbehalf.Refusal{Reason: onbehalf.Unavailable}, 2, []string{"level=WARN", "at the moment"}},
			{onbehalf.Refusal{Reason: onbehalf.Policy, Code: 53003}, 0, nil},
			{onbehalf.Refusal{Reason: onbehalf.Challenged, Claims: "{}"}, 0, nil},
			{onbehalf.Refusal{Reason: onbehalf.SignIn}, 0, nil},
		} {
			office.exchange = refusing(c.refusal)
			lines.b.Reset()
			for range 2 {
				for range 5 {
					f.do(t, f.request(t, "POST", "/judged", callEcho))
				}
				time.Sleep(troublePause)
			}
			said := lines.String()
			if strings.Count(said, "\n") != c.times || strings.Contains(said, canary) || strings.Contains(said, "AADSTS0") || strings.Contains(said, `=""`) {
				t.Errorf("%s: said\n%s", c.refusal.Reason, said)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%s: %q is missing in\n%s", c.refusal.Reason, want, said)
				}
			}
		}
	})
}
