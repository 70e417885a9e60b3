package gate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// The callers of the tests, by their tokens. Another token is nobody's.
const (
	alice = "canary-alice"
	bob   = "canary-bob"
)

// among serves a gate that knows alice and bob, and admits others as anonymous.
// Its one route decides about nothing but what path says.
func among(t *testing.T, upstreams ...string) *front {
	t.Helper()
	return stand(t, knowing(), upstreams...)
}

// knowing are the options of such a gate.
func knowing() Options {
	return Options{
		Routes: []Route{{Path: "/mcp", Mode: Optional, Allow: true, Tools: []Grant{{Pattern: "secret", Needs: Needs{Scopes: []string{"none"}}}}}},
		Verify: func(_ context.Context, token string) (*verify.Caller, error) {
			if token != alice && token != bob {
				return nil, &verify.Invalid{Reason: "signature", Description: "nobody's"}
			}
			c := somebody()
			c.Object = token
			return c, nil
		},
	}
}

// as is a request of who, "" for nobody, in a session.
func (f *front) as(t *testing.T, who, session, method, body string) *http.Request {
	t.Helper()
	req := f.request(t, http.MethodPost, "/mcp", body)
	req.Method = method
	req.Header.Set("Accept", "application/json, text/event-stream")
	if req.Header.Del("Authorization"); who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	if session != "" {
		req.Header.Set(headerSession, session)
	}
	return req
}

const (
	initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	pong       = `{"jsonrpc":"2.0","id":1,"result":{}}`
)

// numbering is an upstream that gives a session the id that next returns, and
// knows all.
func numbering(t *testing.T, next func() string) *httptest.Server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(headerSession) == "" {
			w.Header().Set(headerSession, next())
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, pong)
	})
}

func always(id string) func() string { return func() string { return id } }

// signed sends the token of a caller.
type signed struct {
	token string
	next  http.RoundTripper
	heard func(*http.Response)
}

func (b signed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	res, err := b.next.RoundTrip(req)
	if err == nil && b.heard != nil {
		b.heard(res)
	}
	return res, err
}

// sdkServer is an MCP server with one tool.
func sdkServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "server", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in struct{ Text string }) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
	})
	return s
}

func echo(t *testing.T, s *mcp.ClientSession, text string) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"Text": text}})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Content[0].(*mcp.TextContent).Text; got != text {
		t.Errorf("echo of %q is %q", text, got)
	}
}

func TestSessionOfAnotherIsNotFound(t *testing.T) {
	t.Parallel()
	server := sdkServer()
	upstream := serve(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil).ServeHTTP)
	f := among(t, upstream.URL)

	var mu sync.Mutex
	var id string
	heard := func(res *http.Response) {
		mu.Lock()
		defer mu.Unlock()
		if got := res.Header.Get(headerSession); got != "" {
			id = got
		}
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: f.url + "/mcp", HTTPClient: &http.Client{Transport: signed{alice, f.client.Transport, heard}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	echo(t, session, "before")
	mu.Lock()
	given := id
	mu.Unlock()
	if given == "" {
		t.Fatal("the server gave no session")
	}
	for _, who := range []string{bob, ""} {
		for method, body := range map[string]string{http.MethodPost: callEcho, http.MethodGet: "", http.MethodDelete: ""} {
			res, said := f.do(t, f.as(t, who, given, method, body))
			if res.StatusCode != http.StatusNotFound || strings.Contains(said, given) || res.Header.Get(headerSession) != "" {
				t.Errorf("%s of %q: %d %s", method, who, res.StatusCode, said)
			}
			if body != "" && !strings.Contains(said, `"id":1,"error"`) {
				t.Errorf("the request of %q is not answered by %s", who, said)
			}
		}
	}
	echo(t, session, "after")
}

func TestUnknownSessionIsAnsweredSoThatTheClientBeginsAnew(t *testing.T) {
	t.Parallel()
	asked := false
	f := among(t, serve(t, func(http.ResponseWriter, *http.Request) { asked = true }).URL)
	res, said := f.do(t, f.as(t, alice, "made-up", http.MethodPost, callEcho))
	if res.StatusCode != http.StatusNotFound || !strings.Contains(said, `"id":1,"error"`) || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %s", res.StatusCode, said)
	}
	if r := <-f.done; r.Denied != deniedSession || r.Allowed || asked {
		t.Errorf("%+v, asked: %v", r, asked)
	}
}

func TestRequestThatDoesNotNameOneSessionIsRefused(t *testing.T) {
	t.Parallel()
	f := among(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, empty := r.Header[headerSession]; empty {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set(headerSession, "one")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, pong)
	}).URL)
	f.do(t, f.as(t, alice, "", http.MethodPost, initialize))
	for name, change := range map[string]func(*http.Request){
		"two":            func(r *http.Request) { r.Header[headerSession] = []string{"one", "one"} },
		"underscores":    func(r *http.Request) { r.Header["Mcp_Session_Id"] = []string{"one"} },
		"one underscore": func(r *http.Request) { r.Header["MCP-SESSION_ID"] = []string{"other"} },
		"a blank":        func(r *http.Request) { r.Header.Set(headerSession, "one two") },
		"not ASCII":      func(r *http.Request) { r.Header.Set(headerSession, "onë") },
		"too long":       func(r *http.Request) { r.Header.Set(headerSession, strings.Repeat("x", mostSessionID+1)) },
		"two in queries": func(r *http.Request) { r.URL.RawQuery = "sessionId=one&session_id=two" },
		"encoded":        func(r *http.Request) { r.URL.RawQuery = "sessionId=one&sessi%6fnId=two" },
		"an array":       func(r *http.Request) { r.URL.RawQuery = "sessionId=one&sessionId%5B%5D=two" },
		"a semicolon":    func(r *http.Request) { r.URL.RawQuery = "sessionId=one;sessionId=two" },
	} {
		req := f.as(t, alice, "one", http.MethodPost, callEcho)
		change(req)
		if res, said := f.do(t, req); res.StatusCode != http.StatusBadRequest || !strings.Contains(said, "does not name one session") {
			t.Errorf("%s: %d %s", name, res.StatusCode, said)
		}
	}
	req := f.as(t, alice, "", http.MethodPost, callEcho)
	req.Header[headerSession] = []string{""} // which is none, and goes no further
	if res, said := f.do(t, req); res.StatusCode != http.StatusOK {
		t.Errorf("an empty one: %d %s", res.StatusCode, said)
	}
}

// TestSessionCanBeUsedAsSoonAsItIsKnown holds that it is bound before the client
// hears of it, and that callers who begin at once get their own.
func TestSessionCanBeUsedAsSoonAsItIsKnown(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	n := 0
	f := among(t, numbering(t, func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("session-%d", n)
	}).URL)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			who := []string{alice, bob}[i%2]
			res, err := f.client.Do(f.as(t, who, "", http.MethodPost, initialize))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close() // of which nothing has been read
			next, err := f.client.Do(f.as(t, who, res.Header.Get(headerSession), http.MethodPost, callEcho))
			if err != nil {
				t.Error(err)
				return
			}
			next.Body.Close()
			if next.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", res.Header.Get(headerSession), next.StatusCode)
			}
		})
	}
	if all.Wait(); f.Sessions() != 40 {
		t.Errorf("%d sessions", f.Sessions())
	}
}

func TestSessionOfNobodyBelongsToTheFirstWhoSignsIn(t *testing.T) {
	t.Parallel()
	f := among(t, numbering(t, always("one")).URL)
	f.do(t, f.as(t, "", "", http.MethodPost, initialize))
	for _, step := range []struct {
		who    string
		status int
	}{{"", 200}, {alice, 200}, {bob, 404}, {"", 404}, {alice, 200}} {
		if res, _ := f.do(t, f.as(t, step.who, "one", http.MethodPost, callEcho)); res.StatusCode != step.status {
			t.Errorf("%q: %d, want %d", step.who, res.StatusCode, step.status)
		}
	}
}

// TestWhoIsRefusedTakesNoSessionOver holds for callers on behalf of whom nothing
// is exchanged: who began it without a token goes on in it.
func TestWhoIsRefusedTakesNoSessionOver(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*verify.Caller){
		"a token that ends": func(c *verify.Caller) { c.Expires = time.Now().Add(time.Minute) },
		"an application":    func(c *verify.Caller) { c.Scopes, c.Roles = nil, []string{"use"} },
	} {
		f := stand(t, Options{
			Routes: []Route{{Path: "/mcp", Mode: Optional, Allow: true, OnBehalfOf: new(bureau), Tools: []Grant{{Pattern: "secret"}}}},
			Verify: func(context.Context, string) (*verify.Caller, error) {
				c := somebody()
				change(c)
				return c, nil
			},
		}, numbering(t, always("one")).URL)
		f.do(t, f.as(t, "", "", http.MethodPost, initialize))
		if res, said := f.do(t, f.as(t, bob, "one", http.MethodPost, callEcho)); strings.Contains(said, "result") {
			t.Fatalf("%s is let in: %s, %s", name, res.Status, said)
		}
		if res, said := f.do(t, f.as(t, "", "one", http.MethodPost, callEcho)); res.StatusCode != http.StatusOK || !strings.Contains(said, "result") {
			t.Errorf("%s: it is no longer nobody's: %s, %s", name, res.Status, said)
		}
	}
}

// TestServerThatGivesOneSessionTwiceIsNotBelieved holds that no answer hands a
// session to a second caller.
func TestServerThatGivesOneSessionTwiceIsNotBelieved(t *testing.T) {
	t.Parallel()
	f := among(t, numbering(t, always("one")).URL)
	f.do(t, f.as(t, alice, "", http.MethodPost, initialize))
	for _, who := range []string{bob, ""} {
		for _, body := range []string{initialize, callEcho} {
			res, said := f.do(t, f.as(t, who, "", http.MethodPost, body))
			if res.StatusCode != http.StatusBadGateway || res.Header.Get(headerSession) != "" || strings.Contains(said, "result") {
				t.Errorf("%q: %d %v %s", who, res.StatusCode, res.Header, said)
			}
		}
	}
	if res, _ := f.do(t, f.as(t, alice, "", http.MethodPost, initialize)); res.StatusCode != http.StatusOK {
		t.Errorf("to the same caller again: %d", res.StatusCode)
	}
}

func TestAnswerThatGivesNoUsableSessionIsNotPassedOn(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{"a b": 502, "\xff": 502, strings.Repeat("x", mostSessionID+1): 502, strings.Repeat("x", mostSessionID): 200, "": 200} {
		f := among(t, numbering(t, always(id)).URL)
		if res, said := f.do(t, f.as(t, alice, "", http.MethodPost, initialize)); res.StatusCode != want {
			t.Errorf("%.10q: %d %s", id, res.StatusCode, said)
		}
	}
	f := among(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()[headerSession] = []string{"one", "two"}
		w.WriteHeader(http.StatusServiceUnavailable)
	}).URL)
	if res, _ := f.do(t, f.as(t, alice, "", http.MethodPost, initialize)); res.StatusCode != 503 || res.Header[headerSession] != nil || f.Sessions() != 0 {
		t.Errorf("an answer that begins nothing: %d %v", res.StatusCode, res.Header)
	}
}

func TestSessionThatIsOverIsForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, body string
		status       int
		says         string
		over, lost   bool
	}{
		"DELETE":                     {"DELETE", "", 204, "", true, false},
		"DELETE of what is gone":     {"DELETE", "", 404, "", true, false},
		"DELETE is not offered":      {"DELETE", "", 405, "", false, false},
		"404":                        {"POST", callEcho, 404, "Session not found", true, true},
		"400 of the TypeScript SDK":  {"POST", callEcho, 400, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`, true, true},
		"400 of another server":      {"POST", callEcho, 400, "Invalid or missing session ID", true, true},
		"400 for another reason":     {"POST", callEcho, 400, "Bad Request: Unsupported protocol version", false, false},
		"400 that says so very late": {"POST", callEcho, 400, strings.Repeat(" ", mostComplaint) + "no valid session id", false, false},
		"500":                        {"POST", callEcho, 500, "no valid session id", false, false},
		"no stream is offered":       {"GET", "", 404, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := among(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(headerSession) == "" {
					w.Header().Set(headerSession, "one")
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, pong)
					return
				}
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.says)
			}).URL)
			f.do(t, f.as(t, alice, "", "POST", initialize))
			<-f.done
			res, said := f.do(t, f.as(t, alice, "one", c.method, c.body))
			switch { // 404 is what has the client begin anew
			case c.lost && c.status == 400:
				if res.StatusCode != 404 || !strings.HasPrefix(said, `{"jsonrpc":"2.0","id":1,"error":`) || strings.Contains(said, c.says) {
					t.Errorf("%d %q", res.StatusCode, said)
				}
			case res.StatusCode != c.status || said != c.says:
				t.Errorf("%d %q", res.StatusCode, said)
			}
			if r := <-f.done; r.Lost != c.lost || (f.Sessions() == 0) != c.over {
				t.Errorf("lost: %v, %d sessions", r.Lost, f.Sessions())
			}
		})
	}
}

func TestSessionStaysWithTheUpstreamThatBeganIt(t *testing.T) {
	t.Parallel()
	var upstreams []string
	for i := range 3 {
		mine := map[string]bool{}
		var mu sync.Mutex
		upstreams = append(upstreams, serve(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			id := r.Header.Get(headerSession)
			if id == "" {
				id = fmt.Sprintf("at-%d-%d", i, len(mine))
				mine[id] = true
				w.Header().Set(headerSession, id)
			}
			w.Header().Set("Content-Type", "application/json")
			if !mine[id] {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, pong)
		}).URL)
	}
	f := among(t, upstreams...)
	ids := map[string]bool{}
	for range 9 {
		res, _ := f.do(t, f.as(t, alice, "", http.MethodPost, initialize))
		ids[res.Header.Get(headerSession)] = true
	}
	if len(ids) != 9 || !ids["at-0-0"] || !ids["at-1-0"] || !ids["at-2-0"] {
		t.Fatal("not all upstreams were used:", ids)
	}
	for range 3 {
		for id := range ids {
			if res, _ := f.do(t, f.as(t, alice, id, http.MethodPost, callEcho)); res.StatusCode != http.StatusOK {
				t.Errorf("%s went to another: %d", id, res.StatusCode)
			}
		}
	}
}
