package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestOnlyARefusalThatAnOldServerMayGiveIsFollowedByAGet is the table of what
// may and may not be taken for a server of 2024-11-05.
func TestOnlyARefusalThatAnOldServerMayGiveIsFollowedByAGet(t *testing.T) {
	t.Parallel()
	modern := `{"jsonrpc":"2.0","id":0,"error":{"code":%d,"message":"modern only","data":{"supported":["2026-07-28"]}}}`
	for _, tt := range []struct {
		name       string
		status     int
		kind, body string
		get        bool
		want       string // in what the client hears
	}{
		{"success", 200, typeJSON, initialized(0, "2025-11-25"), false, `"protocolVersion":"2025-11-25"`},
		{"an error of the server's", 200, typeJSON, `{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"out of order"}}`, false, "out of order"},
		{"another type", 200, "text/html", "<html>", false, "is the URL an MCP endpoint?"},
		{"accepted", 202, "", "", false, "without an answer"},
		{"moved", 301, "", "", false, "the server answered 301 Moved Permanently: it has moved to https://elsewhere.example/"},
		{"400", 400, "text/plain", "sessionid must be provided", true, "the server answered 400 Bad Request: sessionid must be provided; as a server of MCP 2024-11-05 it was not reached either: the server answered 418"},
		{"400 in JSON-RPC", 400, typeJSON, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"who are you"}}`, true, `{"code":-32700,"message":"who are you (the server answered 400 Bad Request; as a server`},
		{"401", 401, "text/plain", "who are you", false, "the server answered 401 Unauthorized: who are you"},
		{"403", 403, "text/plain", "not you", false, "the server answered 403 Forbidden: not you"},
		{"404", 404, "text/plain", "nothing here", true, "the server answered 404 Not Found: nothing here; as a server of MCP 2024-11-05 it was not reached either: the server answered 418"},
		{"405", 405, "", "", true, "the server answered 405 Method Not Allowed; as a server of MCP 2024-11-05 it was not reached either: the server answered 418"},
		{"406", 406, "", "", false, "the server answered 406 Not Acceptable"},
		{"410", 410, "", "", false, "the server answered 410 Gone"},
		{"415", 415, "", "", false, "the server answered 415 Unsupported Media Type"},
		{"422", 422, "", "", false, "the server answered 422 Unprocessable Entity"},
		{"429", 429, "", "", false, "the server answered 429 Too Many Requests"},
		{"500", 500, "", "", false, "the server answered 500 Internal Server Error"},
		{"502", 502, "", "", false, "the server answered 502 Bad Gateway"},
		{"503", 503, "text/plain", "soon", false, "the server answered 503 Service Unavailable: soon"},
		{"504", 504, "", "", false, "the server answered 504 Gateway Timeout"},
		{"modern version", 400, typeJSON, fmt.Sprintf(modern, -32022), false, "modern only"},
		{"modern header", 400, typeJSON, fmt.Sprintf(modern, -32020), false, "modern only"},
		{"modern method", 404, typeJSON, fmt.Sprintf(modern, -32601), false, "modern only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, route := bridge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"] = nil
				status, kind, body := tt.status, tt.kind, tt.body
				if r.Method == http.MethodGet {
					status, kind, body = http.StatusTeapot, "", ""
				}
				if kind != "" {
					w.Header().Set("Content-Type", kind)
				}
				w.Header().Set("Location", "https://elsewhere.example/")
				w.WriteHeader(status)
				io.WriteString(w, body)
			}), "/mcp", Auto)
			c.say(beginOld)
			if got := c.hear(); !strings.Contains(got, tt.want) || !strings.Contains(got, `"id":0`) {
				t.Errorf("the client hears %s", got)
			}
			c.end()
			gets := slices.DeleteFunc(route.urls(), func(u string) bool { return !strings.HasPrefix(u, "GET ") })
			want(t, "GET made", len(gets) == 1, tt.get)
			if len(gets) > 1 {
				t.Errorf("asked for %q", gets)
			}
		})
	}
}

// answering is a Route that answers by itself.
type answering struct {
	do func(*http.Request) (*http.Response, error)
}

func (a answering) RoundTrip(req *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, req.Body)
	return a.do(req)
}

// TestErrorOfTheRouteIsNoSignOfAnOldServer holds that what never reached the
// server, or was not its answer, decides nothing: a token that cannot be had above
// all.
func TestErrorOfTheRouteIsNoSignOfAnOldServer(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("sign in first"),
		fmt.Errorf("wrapped: %w", &refusal{status: 404}), // not that of the server to this request
	} {
		methods := []string{}
		route := answering{func(req *http.Request) (*http.Response, error) {
			methods = append(methods, req.Method)
			return nil, err
		}}
		o := Options{URL: parsed(t, "https://mcp.example/mcp"), Route: route, Log: testLog(t), Explain: func(error) (string, any) {
			return "sign in: injectproxy login x", map[string]int{"status": 511}
		}}
		c := run(t, newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) }))
		c.say(beginOld)
		if got := c.hear(); err.Error() == "sign in first" && !strings.Contains(got, `"message":"sign in: injectproxy login x","data":{"status":511}`) {
			t.Error(got)
		}
		c.end()
		wantList(t, "requests", methods, http.MethodPost)
	}
}

// TestTransportThatIsGivenIsNotChanged holds that a server is not tried by the
// other one.
func TestTransportThatIsGivenIsNotChanged(t *testing.T) {
	t.Parallel()
	for transport, method := range map[Transport]string{HTTP: "POST ", SSE: "GET "} {
		c, route := bridge(t, http.NotFoundHandler(), "/mcp", transport)
		c.say(beginOld)
		if got := c.hear(); !strings.Contains(got, "the server answered 404 Not Found") || strings.Contains(got, "either") {
			t.Error(got)
		}
		c.end()
		for _, u := range route.urls() {
			if !strings.HasPrefix(u, method) {
				t.Errorf("transport %d: %s", transport, u)
			}
		}
	}
}

func TestChoiceHoldsForTheProcess(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, route := bridge(t, a, "/sse", Auto)
	c.begin(a)
	c.say(ask("1", "x"))
	c.hears(did("1", "x"))
	a.cut(1)
	c.hears(toolsChanged, promptsChanged)
	c.say(ask("2", "x"))
	c.hears(did("2", "x"))
	c.say(strings.Replace(beginOld, `"id":0`, `"id":9`, 1))
	if got := c.hear(); !strings.Contains(got, `"protocolVersion"`) || !strings.Contains(got, `"id":9`) {
		t.Error(got)
	}
	newer := 0
	for _, u := range route.urls() {
		if strings.HasPrefix(u, "POST ") && strings.HasSuffix(u, "/sse") {
			newer++
		}
	}
	want(t, "POST by the newer transport", newer, 1)
	x, ok := c.b.up.(*choice)
	want(t, "chosen", ok && isClosed(x.made), true)
}

// TestRequestWithoutASessionIsNoReasonToFallBack holds that the modern era has no
// older transport.
func TestRequestWithoutASessionIsNoReasonToFallBack(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, route := bridge(t, a, "/sse", Auto)
	c.say(`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)
	if got := c.hear(); !strings.Contains(got, `"error"`) || !strings.Contains(got, `"id":1`) {
		t.Error(got)
	}
	want(t, "streams", a.asked(), 0)
	c.begin(a) // as a client of both eras does then
	c.say(ask("2", "x"))
	c.hears(did("2", "x"))
	want(t, "streams", a.asked(), 1)
	want(t, "first request", strings.HasPrefix(route.urls()[0], "POST "), true)
}

// TestSecondTryMayChooseAgain holds that a server that was not reached at first
// is not given up.
func TestSecondTryMayChooseAgain(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
		if a.asked() == 1 {
			http.Error(w, "away", http.StatusServiceUnavailable)
		}
		return a.asked() == 1
	}
	c, _ := bridge(t, a, "/sse", Auto)
	c.say(beginOld)
	if got := c.hear(); !strings.Contains(got, "405 Method Not Allowed") || !strings.Contains(got, "either: the server answered 503 Service Unavailable: away") {
		t.Error(got)
	}
	c.begin(a)
	c.say(ask("1", "x"))
	c.hears(did("1", "x"))
}

// TestBadTokenIsToldAndNoOldServerIsLookedFor is the case that matters most: a
// refused token must not look like a server of another transport.
func TestBadTokenIsToldAndNoOldServerIsLookedFor(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"title":"invalid token","detail":"the audience is another one"}`)
	}))
	t.Cleanup(srv.Close)
	tr := srv.Client().Transport.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	c, _ := bridgeTo(t, srv.URL, tr, Auto)
	c.say(beginOld)
	if got := c.hear(); !strings.Contains(got, "the server answered 401 Unauthorized: the audience is another one") {
		t.Error(got)
	}
	c.end()
	close(asked)
	for method := range asked {
		want(t, "method", method, http.MethodPost)
	}
}

// lateTaken is a Route that is late to say that a POST by the older transport was
// taken.
type lateTaken struct {
	*asked
	late chan struct{}
}

func (s lateTaken) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.asked.RoundTrip(req)
	if err == nil && res.StatusCode == http.StatusAccepted && len(req.Header["Mcp-Protocol-Version"]) == 0 {
		<-s.late
	}
	return res, err
}

// TestClientMayGoOnBeforeTheChoiceIsMade holds that what follows the answer to an
// initialize goes where that came from, even if the server is slow to say that
// it has taken the initialize.
func TestClientMayGoOnBeforeTheChoiceIsMade(t *testing.T) {
	t.Parallel()
	a := newAged()
	srv := httptest.NewTLSServer(a)
	t.Cleanup(srv.Close)
	tr := srv.Client().Transport.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	route := lateTaken{&asked{RoundTripper: tr}, make(chan struct{})}
	o := Options{URL: parsed(t, srv.URL+"/sse"), Route: route, Log: testLog(t)}
	c := run(t, newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) }))
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	close(route.late)
	c.say(ask("1", "x"))
	c.hears(did("1", "x"))
}

// chosen returns a choice whose newer transport is f.
func chosen(t *testing.T, f *fake, route http.RoundTripper) *choice {
	t.Helper()
	o := Options{URL: parsed(t, "https://mcp.example/mcp"), Route: route, Log: testLog(t)}
	return &choice{o: o, deliver: func([]byte, *call) error { return nil }, first: f, now: f, made: make(chan struct{})}
}

// TestNothingButAnInitializeIsSentAgain holds that no other request, no session
// that stands, and nobody who has withdrawn has an older server looked for.
func TestNothingButAnInitializeIsSentAgain(t *testing.T) {
	t.Parallel()
	never := routeFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("asked for %s %s", req.Method, req.URL)
		return nil, errors.New("away")
	})
	no := &refusal{status: http.StatusNotFound}
	refusing := &fake{asking: func(context.Context, *fake, *call) error { return no }}
	gone, leave := context.WithCancel(t.Context())
	leave()

	x := chosen(t, refusing, never)
	want(t, "another request", x.ask(t.Context(), newCall(t.Context(), messageOf(ask("1", "tools/list")))), error(no))
	want(t, "withdrawn", x.ask(gone, newCall(gone, messageOf(beginOld))), error(no))
	want(t, "chosen", isClosed(x.made), false)

	standing := &fake{asking: func(context.Context, *fake, *call) error { return nil }}
	x = chosen(t, standing, never)
	want(t, "first", x.ask(t.Context(), newCall(t.Context(), messageOf(beginOld))), nil)
	want(t, "chosen", isClosed(x.made), true)
	standing.asking = refusing.asking
	want(t, "second", x.ask(t.Context(), newCall(t.Context(), messageOf(beginOld))), error(no))
	x.decide() // as two that begin at once do
}

// TestNewerTransportStaysWhenBothFail holds what is asked and ended then, and
// that who has withdrawn meanwhile is told so.
func TestNewerTransportStaysWhenBothFail(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	ctx, withdraw := context.WithCancelCause(t.Context())
	asked := 0
	route := routeFunc(func(*http.Request) (*http.Response, error) {
		if asked++; asked == 2 {
			withdraw(why)
		}
		return nil, errors.New("away")
	})
	f := &fake{asking: func(context.Context, *fake, *call) error { return &refusal{status: 405} }}
	x := chosen(t, f, route)
	if err := x.ask(ctx, newCall(ctx, messageOf(beginOld))); err == nil || !strings.Contains(err.Error(), "405 Method Not Allowed") || !strings.HasSuffix(err.Error(), "either: away") {
		t.Error(err)
	}
	want(t, "withdrawn", x.ask(ctx, newCall(ctx, messageOf(beginOld))), why)
	want(t, "chosen", isClosed(x.made), false)
	over, stop := context.WithCancel(t.Context())
	stop()
	x.listen(over)
	if err := x.end(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, "ended", f.ends, 1)
	wantList(t, "what the newer saw", f.saw(), "initialize", "initialize")
}

// TestListeningWaitsForTheChoice holds that a server is not listened to before it
// is known how.
func TestListeningWaitsForTheChoice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		x := chosen(t, f, nil)
		ctx, stop := context.WithCancel(t.Context())
		go x.listen(ctx)
		synctest.Wait()
		wantList(t, "before", f.saw())
		x.decide()
		synctest.Wait()
		wantList(t, "then", f.saw(), "(listen)")
		stop()
	})
}
