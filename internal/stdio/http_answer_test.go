package stdio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const maybeDone = "it may have been carried out"

// TestEachShapeOfAnswerIsUnderstood holds what becomes of an answer to request 1.
func TestEachShapeOfAnswerIsUnderstood(t *testing.T) {
	note := `{"jsonrpc":"2.0","method":"notifications/message"}`
	theirs := `{"jsonrpc":"2.0","id":"s","method":"ping"}`
	event := func(s string) string { return "data: " + s + "\n\n" }
	tests := map[string]struct {
		status     int
		kind, body string
		said       []string
		line       string // of the error
	}{
		"JSON":                            {200, "application/json", result(1), []string{result(1)}, ""},
		"JSON with a parameter":           {200, "Application/JSON; charset=utf-8", result(1), []string{result(1)}, ""},
		"JSON, created":                   {201, "application/json", result(1), []string{result(1)}, ""},
		"JSON, accepted":                  {202, "application/json", result(1), []string{result(1)}, ""},
		"JSON with lines":                 {200, "application/json", "\r\n" + result(1) + "\r\n", []string{"\r\n" + result(1) + "\r\n"}, ""},
		"array":                           {200, "application/json", "[" + note + "," + result(1) + "]", []string{note, result(1)}, ""},
		"array of two responses and more": {200, "application/json", " [" + result(7) + "," + theirs + ", " + result(1) + "," + result(1) + "]", []string{theirs, result(1)}, ""},
		"array without the response":      {200, "application/json", "[" + note + "]", []string{note}, maybeDone},
		"empty array":                     {200, "application/json", "[]", nil, maybeDone},
		"half an array":                   {200, "application/json", "[" + result(1) + ",", nil, "is not a JSON-RPC message"},
		"response to another":             {200, "application/json", result(2), nil, maybeDone},
		"request instead of a response":   {200, "application/json", theirs, []string{theirs}, maybeDone},
		"not JSON":                        {200, "application/json", "<html>", nil, "is not a JSON-RPC message: is the URL an MCP endpoint?"},
		"JSON of another kind":            {200, "application/json", `{"status":"ok"}`, nil, "is not a JSON-RPC message"},
		"nothing":                         {200, "application/json", "", nil, "200 OK with nothing in it"},
		"only space":                      {200, "application/json", " \r\n", nil, "with nothing in it"},
		"page":                            {200, "text/html; charset=utf-8", "<html>", nil, `200 OK with "text/html", which is neither JSON nor an event stream: is the URL an MCP endpoint?`},
		"no type":                         {200, "", result(1), nil, "without a content type"},
		"type that is none":               {200, "a b\tc; =", result(1), nil, "neither JSON"},
		"accepted":                        {202, "", "", nil, "took the request without an answer"},
		"accepted as JSON":                {202, "application/json", "", nil, "took the request without an answer"},
		"no content":                      {204, "", "", nil, "took the request without an answer"},
		"stream":                          {200, "text/event-stream", event(result(1)), []string{result(1)}, ""},
		"stream of several":               {200, "text/event-stream;charset=utf-8", event(note) + ": alive\n\n" + event(theirs) + "event: message\nid: 1\n" + event(result(1)), []string{note, theirs, result(1)}, ""},
		"stream with CRLF":                {200, "text/event-stream", "event: message\r\ndata: " + result(1) + "\r\n\r\n", []string{result(1)}, ""},
		"stream with CR":                  {200, "text/event-stream", "event: message\rdata: " + result(1) + "\r\r", []string{result(1)}, ""},
		"stream with a byte order mark":   {200, "text/event-stream", "\xef\xbb\xbf" + event(result(1)), []string{result(1)}, ""},
		"stream of an array":              {200, "text/event-stream", event("[" + note + "," + result(1) + "]"), []string{note, result(1)}, ""},
		"data in lines":                   {200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\ndata:\"id\":1,\"result\":{}}\n\n", []string{"{\"jsonrpc\":\"2.0\",\n\"id\":1,\"result\":{}}"}, ""},
		"event of another name":           {200, "text/event-stream", "event: endpoint\n" + event(note) + "event: Message\n" + event(theirs) + event(result(1)), []string{result(1)}, ""},
		"event that is no message":        {200, "text/event-stream", event("hello") + event(result(1)), []string{result(1)}, ""},
		"more after the response":         {200, "text/event-stream", event(result(1)) + event(result(1)) + event(note), []string{result(1), note}, ""},
		"stream without the response":     {200, "text/event-stream", event(note), []string{note}, maybeDone},
		"stream for another":              {200, "text/event-stream", event(result(2)), nil, maybeDone},
		"event without an end":            {200, "text/event-stream", "data: " + result(1) + "\n", nil, maybeDone},
		"empty stream":                    {200, "text/event-stream", "", nil, maybeDone},
		"stream that only is alive":       {200, "text/event-stream", ": a\n\n: b\n\n", nil, maybeDone},
		"refusal":                         {400, "application/json", `{"no":1}`, nil, "the server answered 400 Bad Request"},
		"a status of its own":             {599, "text/plain", "x", nil, "the server answered 599"},
	}
	both(t, func(t *testing.T, proto string) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFar(t, proto, answers(tt.status, tt.kind, tt.body))
				wantLine(t, "error", f.ask(t, request(1, "tools/call")), tt.line)
				if said := f.said(); !slices.Equal(said, tt.said) {
					t.Errorf("said %q, want %q", said, tt.said)
				}
				if n := len(f.route.urls()); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	})
}

// TestRequestIsAsMCPWantsIt holds the fields and the body of what is sent.
func TestRequestIsAsMCPWantsIt(t *testing.T) {
	type sent struct {
		header http.Header
		method string
		body   string
		length int64
	}
	both(t, func(t *testing.T, proto string) {
		seen := make(chan sent, 10)
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			want(t, "protocol", r.Proto, proto)
			seen <- sent{r.Header, r.Method, string(b), r.ContentLength}
			switch {
			case strings.Contains(string(b), "initialize\""):
				w.Header().Set("Mcp-Session-Id", "s-1")
				answers(200, typeJSON, initialized(1, "2025-06-18"))(w, r)
			case strings.Contains(string(b), "notifications/"):
				w.WriteHeader(202)
			case r.Method == "POST":
				w.Header().Set("Mcp-Session-Id", "another")
				answers(200, typeJSON, result(2))(w, r)
			}
		})
		body := ` {"jsonrpc": "2.0","id":1 , "method":"initialize" } `
		wantLine(t, "initialize", f.ask(t, body), "")
		got := <-seen
		want(t, "body", got.body, body)
		want(t, "length", got.length, int64(len(body)))
		for name, value := range map[string]string{
			"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "X-Ours": "mine",
			"Mcp-Session-Id": "", "Mcp-Protocol-Version": "", "Accept-Encoding": "identity",
		} {
			want(t, name, got.header.Get(name), value)
		}
		if err := f.s.tell(t.Context(), messageOf(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)); err != nil {
			t.Error(err)
		}
		wantLine(t, "call", f.ask(t, request(2, "tools/list")), "")
		if err := f.s.end(t.Context()); err != nil {
			t.Error(err)
		}
		wantLine(t, "another initialize", f.ask(t, body), "")
		for _, method := range []string{"POST", "POST", "DELETE"} {
			got := <-seen
			want(t, "method", got.method, method)
			want(t, "session", strings.Join(got.header["Mcp-Session-Id"], ","), "s-1")
			want(t, "version", strings.Join(got.header["Mcp-Protocol-Version"], ","), "2025-06-18")
		}
		again := (<-seen).header
		want(t, "session of another initialize", again.Get("Mcp-Session-Id")+again.Get("Mcp-Protocol-Version"), "")
	})
}

// TestEraMayChangeTheFields holds that the hook has the last word.
func TestEraMayChangeTheFields(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		say(w, "id: 1\ndata:\n\n")
	})
	f.s.session, f.s.version = "s", "2025-06-18"
	f.s.fields = func(h http.Header, m message) {
		h.Set("Mcp-Method", m.Method)
		h.Set("Mcp-Protocol-Version", "2026-07-28")
		h.Del("Mcp-Session-Id")
	}
	wantLine(t, "a stream of an era that resumes none", f.ask(t, request(1, "tools/list")), maybeDone)
	h := <-seen
	want(t, "method", h.Get("Mcp-Method"), "tools/list")
	want(t, "version", h.Get("Mcp-Protocol-Version"), "2026-07-28")
	want(t, "session", h.Get("Mcp-Session-Id"), "")
	want(t, "requests", len(f.route.urls()), 1)
}

// TestSessionThatMCPForbidsIsNotBegun holds what ids and versions are taken.
func TestSessionThatMCPForbidsIsNotBegun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ids     []string
		version string
		ok      bool
		session string
		known   string
	}{
		"none":          {nil, "2025-06-18", true, "", "2025-06-18"},
		"empty":         {[]string{""}, "2025-06-18", true, "", "2025-06-18"},
		"longest":       {[]string{strings.Repeat("x", 1024)}, "2025-06-18", true, strings.Repeat("x", 1024), "2025-06-18"},
		"too long":      {[]string{strings.Repeat("x", 1025)}, "2025-06-18", false, "", ""},
		"two":           {[]string{"a", "b"}, "2025-06-18", false, "", ""},
		"with a space":  {[]string{"a b"}, "2025-06-18", false, "", ""},
		"lines":         {[]string{"a\r\nX-Evil: b"}, "2025-06-18", false, "", ""},
		"control":       {[]string{"a\x01"}, "2025-06-18", false, "", ""},
		"not ASCII":     {[]string{"\u00e4"}, "2025-06-18", false, "", ""},
		"version: line": {[]string{"a"}, "2025\r\nX-Evil: b", true, "a", ""},
		"version: long": {[]string{"a"}, strings.Repeat("2", 100), true, "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHeard()
			answer := http.Header{"Content-Type": {typeJSON}}
			if tt.ids != nil {
				answer["Mcp-Session-Id"] = tt.ids
			}
			s := newHTTP(Options{URL: parsed(t, "https://server/mcp"), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: answer, Body: io.NopCloser(strings.NewReader(initialized(1, tt.version)))}, nil
			})}, h.deliver)
			err := s.ask(t.Context(), h.call(t.Context(), request(1, "initialize")))
			if tt.ok != (err == nil) || len(h.said()) > 0 != tt.ok {
				t.Errorf("%v, said %q", err, h.said())
			}
			if !tt.ok {
				wantLine(t, "error", err, "an id that MCP does not allow")
			}
			want(t, "session", s.session, tt.session)
			want(t, "version", s.version, tt.known)
		})
	}
}

type routeFunc func(*http.Request) (*http.Response, error)

func (f routeFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestRefusalSaysWhatTheServerSaid holds what is known of an answer that is no
// success.
func TestRefusalSaysWhatTheServerSaid(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			answers(503, "Text/Plain; charset=utf-8", "busy"+strings.Repeat(".", 1<<20))(w, r)
		})
		for what, err := range map[string]error{
			"ask":  f.ask(t, request(1, "x")),
			"tell": f.s.tell(t.Context(), messageOf(`{"jsonrpc":"2.0","method":"x"}`)),
		} {
			r, ok := errors.AsType[*refusal](err)
			if !ok {
				t.Fatalf("%s: %v", what, err)
			}
			want(t, "status", r.status, 503)
			want(t, "type", r.mediaType, "text/plain")
			want(t, "body", len(r.body), mostRefusal)
			want(t, "beginning", string(r.body[:5]), "busy.")
			want(t, "time", r.retryAfter, 7*time.Second)
		}
	})
}

// TestRefusalWithoutAnEndIsOne holds that a body that never ends holds nobody up.
func TestRefusalWithoutAnEndIsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, "no")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		begun := time.Now()
		r, ok := errors.AsType[*refusal](f.ask(t, request(1, "x")))
		if !ok || string(r.body) != "no" || time.Since(begun) != waitRefusal {
			t.Errorf("%+v after %v", r, time.Since(begun))
		}
	})
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for value, d := range map[string]time.Duration{
			"": 0, "x": 0, "-1": 0, "1.5": 0, "0": 0, "120": 2 * time.Minute, "999999999": mostRetry, "9999999999999999999": 0,
			time.Now().Add(time.Minute).UTC().Format(http.TimeFormat):     time.Minute,
			time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat):    0,
			time.Now().Add(900 * time.Hour).UTC().Format(http.TimeFormat): mostRetry,
		} {
			want(t, value, retryAfter(http.Header{"Retry-After": {value}}), d)
		}
	})
}

// TestEncodedAnswerIsRefused holds that nobody takes compressed bytes for a
// message.
func TestEncodedAnswerIsRefused(t *testing.T) {
	t.Parallel()
	f := newFar(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		answers(200, typeJSON, result(1))(w, r)
	})
	wantLine(t, "error", f.ask(t, request(1, "x")), `in a content coding ("gzip")`)
}

// TestNotificationIsTaken holds which answers say so, and that none of them
// holds up what is told next.
func TestNotificationIsTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		within time.Duration
	}{
		"accepted":   {status(202), 0},
		"no content": {status(204), 0},
		"empty":      {status(200), 0},
		"JSON":       {answers(200, typeJSON, "{}"), 0},
		"stream":     {func(w http.ResponseWriter, r *http.Request) { say(w, alive); <-r.Context().Done() }, 0},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "x")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, waitSpent},
		"long": {answers(202, "text/plain", strings.Repeat("x", 2*mostSpent)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, x := play(t, tt.answer)
				begun := time.Now()
				wantLine(t, "error", f.s.tell(t.Context(), messageOf(note)), "")
				want(t, "time", time.Since(begun), tt.within)
				wantList(t, "requests", x.requests(), "POST 0s")
				want(t, "said", len(f.said()), 0)
			})
		})
	}
}

// TestErrorOfTheRouteIsTheCalls holds that it arrives as it is, and that nothing
// is sent twice.
func TestErrorOfTheRouteIsTheCalls(t *testing.T) {
	t.Parallel()
	ours, n := errors.New("no token"), 0
	h := newHeard()
	s := newHTTP(Options{URL: parsed(t, "https://server/mcp"), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
		n++
		req.Body.Close()
		return nil, ours
	})}, h.deliver)
	c := h.call(t.Context(), request(1, "x"))
	if err := s.ask(t.Context(), c); err != ours || n != 1 || !isClosed(c.sent) {
		t.Errorf("%v after %d requests", err, n)
	}
	if err := s.tell(t.Context(), messageOf(`{"jsonrpc":"2.0","method":"x"}`)); err != ours || n != 2 {
		t.Errorf("%v after %d requests", err, n)
	}
}

// TestAnswerThatIsCutFailsTheCall holds, for both kinds of answers, that the call
// fails, says what may be, and is not sent again.
func TestAnswerThatIsCutFailsTheCall(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		for name, h := range map[string]http.HandlerFunc{
			"JSON": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", typeJSON)
				io.WriteString(w, `{"jsonrpc":`)
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			"stream": func(w http.ResponseWriter, r *http.Request) {
				say(w, "data: {\"jsonrpc\":")
				panic(http.ErrAbortHandler)
			},
			"large JSON": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", typeJSON)
				io.WriteString(w, `"`+strings.Repeat("x", 2*large))
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFar(t, proto, h)
				wantLine(t, "error", f.ask(t, request(1, "x")), "the connection to the server broke while it worked on this; it may have been carried out")
				want(t, "requests", len(f.route.urls()), 1)
				want(t, "said", len(f.said()), 0)
				want(t, "turns", len(f.s.turns), 0)
			})
		}
	})
}

// TestCancelledCallLetsGoOfTheServer holds that the server can see that nobody
// waits, before and within its answer, and that nothing is delivered then.
func TestCancelledCallLetsGoOfTheServer(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		for name, begin := range map[string]func(w http.ResponseWriter){
			"before the answer": func(http.ResponseWriter) {},
			"within a stream":   func(w http.ResponseWriter) { say(w, "id: 1\ndata: {}\n\n") },
			"within JSON": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", typeJSON)
				io.WriteString(w, "{")
				http.NewResponseController(w).Flush()
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				at, gone := make(chan bool), make(chan bool)
				f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					begin(w)
					at <- true
					<-r.Context().Done()
					close(gone)
				})
				ctx, cancel := context.WithCancelCause(t.Context())
				why := errors.New("nobody waits")
				c := f.call(ctx, request(1, "x"))
				go func() { <-at; <-c.sent; cancel(why) }()
				if err := f.s.ask(ctx, c); err == nil {
					t.Error("there is a response")
				}
				<-gone
				want(t, "said", len(f.said()), 0)
			})
		}
	})
}

// TestCallIsSentBeforeItIsAnswered holds that what concerns a call may follow it
// while the server is still at work.
func TestCallIsSentBeforeItIsAnswered(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		sent := make(chan bool)
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-sent
			answers(200, typeJSON, result(1))(w, r)
		})
		c := f.call(t.Context(), request(1, "x"))
		go func() { <-c.sent; close(sent) }()
		wantLine(t, "error", f.s.ask(t.Context(), c), "")
	})
}

// TestGivenUpBeforeItWasSent holds that a request which waits, for a token or a
// connection, when it is given up is not said to have left, and one that the
// server has is.
func TestGivenUpBeforeItWasSent(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		for name, sent := range map[string]bool{"waiting": false, "sent": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				there := make(chan struct{}, 1)
				f := newFar(t, proto, func(_ http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					there <- struct{}{}
					<-r.Context().Done()
				})
				if !sent {
					f.s.o.Route = routeFunc(func(req *http.Request) (*http.Response, error) {
						there <- struct{}{}
						<-req.Context().Done()
						return nil, req.Context().Err()
					})
				}
				ctx, cancel := context.WithCancel(t.Context())
				go func() { <-there; cancel() }()
				err := f.s.ask(ctx, f.call(ctx, request(1, "x")))
				if _, is := errors.AsType[*unsent](err); is == sent || !errors.Is(err, context.Canceled) {
					t.Errorf("%T %v", err, err)
				}
			})
		}
	})
}

// TestStreamThatGoesOnIsLeft holds that a server that does not end its answer
// after the response is given a moment, and no more.
func TestStreamThatGoesOnIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan bool)
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			say(w, "data: "+result(1)+"\n\n")
			<-r.Context().Done()
			close(gone)
		})
		begun := time.Now()
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		want(t, "time", time.Since(begun), grace)
		<-gone
	})
}

// TestConnectionCarriesTheNextCall holds that a stream that ends by itself
// leaves an HTTP/1.1 connection in use.
func TestConnectionCarriesTheNextCall(t *testing.T) {
	t.Parallel()
	ports := make(chan string, 2)
	f := newFar(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		ports <- r.RemoteAddr
		say(w, "data: "+result(int(messageOf(string(b)).ID[0]-'0'))+"\n\n")
	})
	wantLine(t, "error", f.ask(t, request(1, "x")), "")
	wantLine(t, "error", f.ask(t, request(2, "x")), "")
	want(t, "connection", <-ports, <-ports)
}
