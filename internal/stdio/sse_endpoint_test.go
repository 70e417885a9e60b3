package stdio

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMessagesStayInTheOriginOfTheStream(t *testing.T) {
	t.Parallel()
	at := parsed(t, "https://mcp.example:8443/a/sse?k=v")
	for said, want := range map[string]string{
		"/messages?session=1":                     "https://mcp.example:8443/messages?session=1",
		"messages/x?s=%2f#part":                   "https://mcp.example:8443/a/messages/x?s=%2f",
		"?session=1":                              "https://mcp.example:8443/a/sse?session=1",
		"../m":                                    "https://mcp.example:8443/m",
		"https://mcp.example:8443/m":              "https://mcp.example:8443/m",
		"HTTPS://MCP.example:8443/m":              "https://MCP.example:8443/m",
		"https://mcp.example/m":                   "",
		"https://mcp.example:443/m":               "",
		"http://mcp.example:8443/m":               "",
		"//mcp.example:8443/m":                    "https://mcp.example:8443/m",
		"//evil.example/m":                        "",
		"//evil.example:8443/m":                   "",
		"https://evil.example:8443/m":             "",
		"https://mcp.example.evil.example:8443/m": "",
		"https://mcp.example:8443@evil.example/m": "",
		"https://evil.example@mcp.example:8443/m": "",
		"https:messages":                          "",
		"https:/messages":                         "",
		"https:///messages":                       "",
		"file:///etc/passwd":                      "",
		"javascript:alert(1)":                     "",
		"/m\r\nX-Evil: 1":                         "",
		"/m\n":                                    "",
		"/m\x00":                                  "",
		"https://[::1/m":                          "",
		"/%zz":                                    "",
		"/" + strings.Repeat("x", mostEndpoint):   "",
		"/" + strings.Repeat("x", mostEndpoint-1): "https://mcp.example:8443/" + strings.Repeat("x", mostEndpoint-1),
		"\\\\evil.example\\m":                     "https://mcp.example:8443/a/%5C%5Cevil.example%5Cm",
		"/\\evil.example/m":                       "https://mcp.example:8443/%5Cevil.example/m",
	} {
		to, err := endpointOf(at, said)
		switch {
		case want == "" && err == nil:
			t.Errorf("%.60q: %v", said, to)
		case want != "" && (err != nil || to.String() != want):
			t.Errorf("%.60q: %v, %v", said, to, err)
		case err != nil && slices.ContainsFunc([]string{"example/m", "8443/m", "/messages", "passwd", "alert"}, func(s string) bool { return strings.Contains(err.Error(), s) }):
			t.Errorf("%.60q: the error quotes it: %v", said, err)
		}
	}
}

// TestNothingIsSentToAnotherOrigin holds that for each way in which a stream can
// go wrong before there is a place for messages, nothing is sent anywhere, and
// that the client is told.
func TestNothingIsSentToAnotherOrigin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ stream, want string }{
		"host":          {"event: endpoint\ndata: https://evil.example/m?secret\n\n", "another origin"},
		"scheme":        {"event: endpoint\ndata: http://HOST/m?secret\n\n", "another origin"},
		"port":          {"event: endpoint\ndata: https://127.0.0.1:1/m?secret\n\n", "another origin"},
		"slashes":       {"event: endpoint\ndata: //evil.example/m?secret\n\n", "another origin"},
		"line break":    {"event: endpoint\ndata: /m?secret\ndata: X-Evil: 1\n\n", "a URL for messages that is none"},
		"too long":      {"event: endpoint\ndata: /" + strings.Repeat("secret", 1<<20/6) + "\n\n", "did not name where messages go"},
		"long":          {"event: endpoint\ndata: /" + strings.Repeat("s", 10<<10) + "secret\n\n", "longer than 8 KiB"},
		"no end":        {"event: endpoint\ndata: " + strings.Repeat("secret", 1<<20/6), "did not name where messages go"},
		"ends":          {": hello\n\n", "ended"},
		"ends within":   {"event: endpoint\ndata: /messages?secret\n", "ended"},
		"others first":  {"event: x\ndata: y\n\ndata: " + result(0) + "\n\n", "ended"},
		"then a second": {"event: endpoint\ndata: //evil.example/secret\n\nevent: endpoint\ndata: /messages?session=1\n\n", "another origin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, route := bridge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				say(w, strings.ReplaceAll(tt.stream, "HOST", r.Host))
			}), "/sse", SSE)
			c.say(beginOld)
			got := c.hear()
			if !strings.Contains(got, tt.want) || !strings.Contains(got, `"id":0`) || strings.Contains(got, "secret") {
				t.Errorf("the client hears %.300s", got)
			}
			if urls := route.urls(); slices.ContainsFunc(urls, func(u string) bool {
				return !strings.HasPrefix(u, "GET https://127.0.0.1:") || !strings.HasSuffix(u, "/sse")
			}) {
				t.Errorf("asked for %q", urls)
			}
		})
	}
}

func TestWhatIsNoEventStreamIsNotRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status             int
		kind, coding, want string
	}{
		{200, "text/html", "", "is the URL that of an SSE server?"},
		{200, "", "", "is the URL that of an SSE server?"},
		{200, "text/event-stream", "gzip", "is the URL that of an SSE server?"},
		{202, "text/event-stream", "", "the server answered 202 Accepted"},
		{404, "text/plain", "", "the server answered 404 Not Found: event"},
		{301, "text/event-stream", "", "the server answered 301 Moved Permanently: it has moved to https://elsewhere.example/x"},
	} {
		c, route := bridge(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{tt.kind}
			if tt.coding != "" {
				w.Header().Set("Content-Encoding", tt.coding)
			}
			w.Header().Set("Location", "https://elsewhere.example/x?secret")
			w.WriteHeader(tt.status)
			io.WriteString(w, "event: endpoint\ndata: /messages\n\n")
		}), "/sse", SSE)
		c.say(beginOld)
		if got := c.hear(); !strings.Contains(got, tt.want) || strings.Contains(got, "secret") {
			t.Errorf("%+v: %s", tt, got)
		}
		want(t, "requests", len(route.urls()), 1)
	}
}

func TestSecondEndpointIsNotFollowed(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, route := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.say(1, "event: endpoint\ndata: /elsewhere?session=1\n\nevent: endpoint\ndata: //evil.example/\n\ndata: "+toolsChanged+"\n\n")
	c.hears(toolsChanged)
	c.say(ask("1", "x"))
	c.hears(did("1", "x"))
	if urls := route.urls(); strings.Contains(strings.Join(urls, " "), "elsewhere") || strings.Contains(strings.Join(urls, " "), "evil") {
		t.Errorf("asked for %q", urls)
	}
}

// TestStreamOfTheServersOtherPlaceIsFollowed holds that a redirect within the
// origin is followed, and that messages are then resolved against where the
// stream really is.
func TestStreamOfTheServersOtherPlaceIsFollowed(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.path, a.endpoint = "/v1/sse/", "../../messages"
	mux := http.NewServeMux()
	mux.Handle("/", a)
	mux.HandleFunc("/v1/sse", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/sse/", http.StatusTemporaryRedirect)
	})
	c, _ := bridge(t, mux, "/v1/sse", SSE)
	c.begin(a)
	c.say(ask("1", "x"))
	c.hears(did("1", "x"))
}

func TestEndpointThatDoesNotComeIsWaitedForTenSeconds(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter){
		"no answer":  func(http.ResponseWriter) {},
		"no event":   func(w http.ResponseWriter) { say(w, ": hello\n\n") },
		"half of it": func(w http.ResponseWriter) { say(w, "event: endpoint\ndata: /messages\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := bubbled(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					answer(w)
					<-r.Context().Done()
				}), "/sse", SSE)
				begun := time.Now()
				c.say(beginOld)
				if got := c.hear(); !strings.Contains(got, "did not name where messages go") || !strings.Contains(got, `"id":0`) {
					t.Error(got)
				}
				want(t, "waited", time.Since(begun), waitEndpoint)
			})
		})
	}
}

func TestEndpointMayComeLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
			time.Sleep(9 * time.Second)
			say(w, ": soon\n\n")
			time.Sleep(9 * time.Second)
			return false
		}
		c := bubbled(t, a, "/sse", SSE)
		c.begin(a)
		time.Sleep(time.Hour)
		c.say(ask("1", "x"))
		c.hears(did("1", "x"))
		want(t, "streams", a.asked(), 1)
	})
}
