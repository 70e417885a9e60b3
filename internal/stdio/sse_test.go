package stdio

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestMessagesOfAnOldServerPassBothWays(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	c.say(ask("1", "tools/list"))
	c.hears(did("1", "tools/list"))
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 tools/list")
	asked := `{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"}`
	a.say(1, ": still here\n\nevent: ping\ndata: {}\n\nevent: message\ndata: "+asked+"\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/message\"}\n\n")
	c.hears(asked, `{"jsonrpc":"2.0", "method":"notifications/message"}`)
	c.say(result(7))
	a.saw(t, "1 response 7")
	c.say(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
	a.saw(t, "1 notifications/roots/list_changed")
	if rest, err := c.end(); len(rest) > 0 || err != nil {
		t.Errorf("at the end %q, %v", rest, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	get, post := a.gets[0], a.posts[1]
	want(t, "Accept of the GET", get.Get("Accept"), "text/event-stream")
	want(t, "Cache-Control of the GET", get.Get("Cache-Control"), "no-store")
	want(t, "our own field in the GET", get.Get("X-Ours"), "mine")
	want(t, "our own field in a POST", post.Header.Get("X-Ours"), "mine")
	want(t, "Content-Type of a POST", post.Header.Get("Content-Type"), "application/json")
	want(t, "version in a POST", post.Header.Get("Mcp-Protocol-Version"), "2024-11-05")
	want(t, "version in the first POST", a.posts[0].Header.Get("Mcp-Protocol-Version"), "")
	want(t, "body of a POST", a.raw[0], beginOld)
}

func TestStreamOfAnOldServerEndsWithTheBridge(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	s := a.stream(1)
	c.end()
	<-s.end
	want(t, "streams", a.asked(), 1)
}

// TestOldServerMayAnswerAtOnce holds that a response in the answer to the POST
// counts, and that the one on the stream is then none.
func TestOldServerMayAnswerAtOnce(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		a := newAged()
		a.posted = func(w http.ResponseWriter, n int, m message) bool {
			if m.Method != "tools/call" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(did(string(m.ID), m.Method)))
			if both {
				a.say(n, "data: "+did(string(m.ID), "again")+"\n\n")
			}
			return true
		}
		c, _ := bridge(t, a, "/sse", SSE)
		c.begin(a)
		c.say(ask("1", "tools/call"))
		if first := c.hear(); first != did("1", "tools/call") && (!both || first != did("1", "again")) {
			t.Error(first)
		}
		c.say(ask("2", "x"))
		c.hears(did("2", "x"))
		if rest, _ := c.end(); len(rest) > 0 {
			t.Errorf("a second answer: %q", rest)
		}
	}
}

// TestMessageThatAnOldServerTakesNeedsNoBody holds that what a server says with
// its "taken" is no message.
func TestMessageThatAnOldServerTakesNeedsNoBody(t *testing.T) {
	t.Parallel()
	for _, taken := range []struct {
		status     int
		kind, body string
	}{
		{200, "text/plain", "Accepted"}, {200, "application/json", ""}, {200, "application/json", `{"status":"ok"}`}, {200, "application/json", "null"},
		{200, "application/json", "[]"}, {200, "application/json", "ok"}, {202, "application/json", did("1", "x")}, {204, "", ""}, {200, "", ""},
	} {
		a := newAged()
		a.posted = func(w http.ResponseWriter, n int, m message) bool {
			if taken.kind != "" {
				w.Header().Set("Content-Type", taken.kind)
			}
			w.WriteHeader(taken.status)
			w.Write([]byte(taken.body))
			if m.ID != nil {
				a.say(n, "data: "+a.answer(n, m)+"\n\n")
			}
			return true
		}
		c, _ := bridge(t, a, "/sse", SSE)
		c.begin(a)
		c.say(ask("1", "tools/call"))
		c.hears(did("1", "tools/call"))
		if rest, _ := c.end(); len(rest) > 0 {
			t.Errorf("%+v: %q", taken, rest)
		}
	}
}

func TestRefusalOfAnOldServerAnswersTheRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status           int
		kind, body, want string
	}{
		{500, "text/plain", "out of order", `"the server answered 500 Internal Server Error: out of order"`},
		{401, "", "", `"the server answered 401 Unauthorized"`},
		{400, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no such thing"}}`, `{"code":-32602,"message":"no such thing"}`},
		{302, "", "", `the server answered 302 Found`},
	} {
		a := newAged()
		a.posted = func(w http.ResponseWriter, _ int, m message) bool {
			if m.Method != "tools/call" {
				return false
			}
			w.Header().Set("Content-Type", tt.kind)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(tt.status)
			w.Write([]byte(tt.body))
			return true
		}
		c, route := bridge(t, a, "/sse", SSE)
		c.begin(a)
		c.say(ask(`"a"`, "tools/call"))
		if got := c.hear(); !strings.Contains(got, tt.want) || !strings.Contains(got, `"id":"a"`) {
			t.Errorf("%d: %s", tt.status, got)
		}
		want(t, "streams", a.asked(), 1)
		if slices.ContainsFunc(route.urls(), func(u string) bool { return strings.Contains(u, "elsewhere") }) {
			t.Error("followed to another origin")
		}
		c.say(ask("2", "x"))
		c.hears(did("2", "x"))
	}
}
