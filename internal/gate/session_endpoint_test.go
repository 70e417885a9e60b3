package gate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// older is an upstream of the HTTP+SSE transport: a stream per GET, whose URL for
// messages is what at returns. What is posted there goes to took.
func older(t *testing.T, at func() string, took func(*http.Request)) *httptest.Server {
	t.Helper()
	return serve(t, olderHandler(at, took))
}

func olderHandler(at func() string, took func(*http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			took(r)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Seen-Encoding", r.Header.Get("Accept-Encoding"))
		_, _ = io.WriteString(w, ": hello\n\nevent: endpoint\ndata: "+at()+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// held is a stream that a client holds open.
type held struct {
	*http.Response
	said *bufio.Reader
}

// hold opens a stream of who and reads its endpoint, "" if there is none.
func (f *front) hold(t *testing.T, who string) (held, string) {
	t.Helper()
	req := f.as(t, who, "", http.MethodGet, "")
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	h := held{res, bufio.NewReader(res.Body)}
	for {
		line, err := h.said.ReadString('\n')
		if err != nil {
			return h, ""
		}
		if at, ok := strings.CutPrefix(line, "data: "); ok {
			return h, strings.TrimSpace(at)
		}
	}
}

func (f *front) postTo(t *testing.T, who, query string) int {
	t.Helper()
	req := f.as(t, who, "", http.MethodPost, callEcho)
	path, query, _ := strings.Cut(query, "?")
	req.URL.Path, req.URL.RawQuery = path, query
	res, _ := f.do(t, req)
	return res.StatusCode
}

func TestOlderTransportWorksForTheSDKs(t *testing.T) {
	t.Parallel()
	server := sdkServer()
	handler := func() http.HandlerFunc {
		return mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return server }, nil).ServeHTTP
	}
	f := among(t, serve(t, handler()).URL, serve(t, handler()).URL, serve(t, handler()).URL) // of which each knows its own sessions
	for range 3 {
		client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
		session, err := client.Connect(t.Context(), &mcp.SSEClientTransport{
			Endpoint: f.url + "/mcp", HTTPClient: &http.Client{Transport: signed{alice, f.client.Transport, nil}},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		echo(t, session, "hello")
	}
}

func TestOlderSessionOfAnotherIsNotFound(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var took []string
	f := among(t, older(t, always("/mcp/messages?transport=sse&sessionId=a%2Fb"), func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		took = append(took, r.URL.RequestURI())
	}).URL)
	_, at := f.hold(t, alice)
	for _, who := range []string{bob, ""} {
		for _, spelled := range []string{
			at, "/mcp/messages?sessionId=a/b", "/mcp/MESSAGES/?sessionId=a/b", "/mcp?x=1;sessionId=a/b", "/mcp?session_id=%61%2fb", "/mcp?SessionID=a/b",
			"/mcp?sessionId%5B0%5D=a/b", "/mcp?sessionId=&sessionid=a/b", "/mcp?sessionId=unknown",
		} {
			if got := f.postTo(t, who, spelled); got != http.StatusNotFound {
				t.Errorf("%q posts to %s: %d", who, spelled, got)
			}
		}
	}
	if got := f.postTo(t, alice, at); got != http.StatusAccepted {
		t.Errorf("its owner: %d", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(took) != 1 || took[0] != at {
		t.Errorf("the upstream took %q", took)
	}
}

func TestOlderSessionEndsWithItsStream(t *testing.T) {
	t.Parallel()
	f := among(t, older(t, always("?sessionid=a"), func(*http.Request) {}).URL)
	h, _ := f.hold(t, alice)
	if f.Sessions() != 1 {
		t.Fatalf("%d sessions", f.Sessions())
	}
	h.Body.Close()
	if <-f.done; f.Sessions() != 0 {
		t.Errorf("%d sessions", f.Sessions())
	}
	if _, at := f.hold(t, bob); at == "" {
		t.Error("nobody else may have it")
	}
}

// TestOlderSessionIsSeenWhereNothingElseIsRead holds that a client cannot have the
// stream compressed, so that nobody sees what it begins.
func TestOlderSessionIsSeenWhereNothingElseIsRead(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{}, older(t, always("/mcp/in?sessionId=a"), func(*http.Request) {}).URL)
	if h, _ := f.hold(t, canary); f.Sessions() != 1 || strings.Contains(h.Header.Get("X-Seen-Encoding"), "gzip") {
		t.Errorf("%d sessions, %v", f.Sessions(), h.Header)
	}
}

// TestStreamThatBeginsTheSessionOfAnotherIsCut holds that the second caller does
// not even hear of it.
func TestStreamThatBeginsTheSessionOfAnotherIsCut(t *testing.T) {
	t.Parallel()
	f := among(t, older(t, always("/mcp/in?sessionId=a"), func(*http.Request) {}).URL)
	f.hold(t, alice)
	h, at := f.hold(t, bob)
	if _, err := h.said.ReadByte(); at != "" || err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, then %v", at, err)
	}
	if got := f.postTo(t, alice, "/mcp/in?sessionId=a"); got != http.StatusAccepted {
		t.Errorf("its owner: %d", got)
	}
}

// TestEndpointWithoutAnIDBelongsToItsCaller holds for servers that have the id
// elsewhere in the URL.
func TestEndpointWithoutAnIDBelongsToItsCaller(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"/mcp/messages/5f0c", "/mcp/messages?key=5f0c", "/mcp?key=5f0c"} {
		f := among(t, older(t, always(at), func(*http.Request) {}).URL)
		f.hold(t, alice)
		if a, b := f.postTo(t, alice, at), f.postTo(t, bob, at); a != http.StatusAccepted || b != http.StatusNotFound {
			t.Errorf("%s: %d %d", at, a, b)
		}
	}
}

// TestIDInAURLIsAnothersHoweverTheURLIsSpelled holds for servers that have it in the
// path, or under a name of their own, and that it is told to nobody.
func TestIDInAURLIsAnothersHoweverTheURLIsSpelled(t *testing.T) {
	t.Parallel()
	for at, spelled := range map[string][]string{
		"/mcp/messages/s3cr3t": {"/mcp/messages/s3cr3t", "/mcp/messages/s3cr3t?x=1", "/mcp/messages/s3cr3t/", "/mcp/messages/s3cr3t;a", "/mcp/messages/s3cr3t/x", "/mcp/s3cr3t"},
		"/mcp/messages;jsessionid=s3cr3t": {
			"/mcp/messages;jsessionid=s3cr3t", "/mcp/messages;jsessionid=s3cr3t?x=1", "/mcp/messages;jsessionid=s3cr3t;a=b", "/mcp/messages;a=b;jsessionid=s3cr3t", "/mcp/messages;JSESSIONID=s3cr3t",
			"/mcp/messages/x;jsessionid=s3cr3t", "/mcp/messages;s3cr3t", "/mcp/messages/s3cr3t",
		},
		"/mcp/messages?sid=s3cr3t": {"/mcp/messages?sid=s3cr3t", "/mcp/messages?sid=s3cr3t&x=1", "/mcp/messages?x;sid=s3cr3t", "/mcp/messages?sid=s3cr3%74", "/mcp/messages/?SID=s3cr3t", "/mcp/messages?s3cr3t"},
	} {
		f := among(t, older(t, always(at), func(*http.Request) {}).URL)
		f.hold(t, alice)
		for _, to := range spelled {
			for _, who := range []string{bob, ""} {
				if got := f.postTo(t, who, to); got != http.StatusNotFound {
					t.Errorf("%q posts to %s of %s: %d", who, to, at, got)
				}
				if r := <-f.done; r.Path != "/mcp" {
					t.Errorf("told of %s", r.Path)
				}
			}
			if got := f.postTo(t, alice, to); got != http.StatusAccepted {
				t.Errorf("its owner posts to %s of %s: %d", to, at, got)
			}
			if r := <-f.done; r.Path != "/mcp" {
				t.Errorf("told of %s", r.Path)
			}
		}
	}
}

// TestWhatURLsOfSeveralSessionsHaveInCommonIsNoID holds for what the server adds to
// each, and for what a stream was asked for with.
func TestWhatURLsOfSeveralSessionsHaveInCommonIsNoID(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 3)
	f := among(t, older(t, func() string { return "/mcp/messages?v=2024-11-05&sid=" + <-ids }, func(*http.Request) {}).URL)
	for i, who := range []string{alice, bob, alice} {
		ids <- []string{"one-111", "two-222", "three-333"}[i]
		f.hold(t, who)
	}
	for _, c := range []struct {
		who, to string
		status  int
	}{
		{alice, "/mcp/messages?v=2024-11-05&sid=one-111", 202}, {bob, "/mcp/messages?v=2024-11-05&sid=two-222", 202}, {alice, "/mcp/messages?v=2024-11-05&sid=three-333", 202},
		{"", "/mcp?v=2024-11-05", 202}, {bob, "/mcp/messages?sid=one-111", 404}, {alice, "/mcp/messages?v=2024-11-05&sid=two-222", 404},
	} {
		if got := f.postTo(t, c.who, c.to); got != c.status {
			t.Errorf("%q posts to %s: %d, want %d", c.who, c.to, got, c.status)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, "http://gate/mcp/team-42?tenant=corp-0001", nil)
	if _, ids, ok := endpointAt(r, "/mcp/team-42/in?tenant=corp-0001&sid=s3cr3t"); !ok || len(ids) != 1 || ids[0] != "s3cr3t" {
		t.Errorf("what it was asked for with is taken for an id: %q", ids)
	}
}

// together is a table which two that begin a session find empty before either has
// bound something.
type together struct {
	binding.Table
	found atomic.Int64
	both  chan struct{} // closed when both have
}

func (m *together) Find(ctx context.Context, keys ...binding.Key) ([]binding.Binding, error) {
	known, err := m.Table.Find(ctx, keys...)
	if len(keys) == 2 { // the parts of an endpoint
		if m.found.Add(1) == 2 {
			close(m.both)
		}
		<-m.both
	}
	return known, err
}

// TestWhatURLsOfSessionsThatBeginTogetherHaveInCommonIsNoID holds where neither could
// know of the other.
func TestWhatURLsOfSessionsThatBeginTogetherHaveInCommonIsNoID(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 2)
	ids <- "one-111"
	ids <- "two-222"
	f := among(t, older(t, func() string { return "/mcp/room1234/messages?k=" + <-ids }, func(*http.Request) {}).URL)
	f.sessions = &together{Table: f.sessions, both: make(chan struct{})}
	var all sync.WaitGroup
	at := make([]string, 2)
	for i, who := range []string{alice, bob} {
		all.Go(func() { _, at[i] = f.hold(t, who) })
	}
	all.Wait()
	for i, who := range []string{alice, bob} {
		if own, others := f.postTo(t, who, at[i]), f.postTo(t, who, at[1-i]); own != http.StatusAccepted || others != http.StatusNotFound {
			t.Errorf("%s at their own %s: %d; at the other's: %d", who, at[i], own, others)
		}
	}
}

// TestWhatWasInCommonIsNoIDBehindOneOfThem holds for who begins a session then.
func TestWhatWasInCommonIsNoIDBehindOneOfThem(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 3)
	f := among(t, older(t, func() string { return "/mcp/room1234/messages?k=" + <-ids }, func(*http.Request) {}).URL)
	ids <- "one-111"
	h, _ := f.hold(t, alice)
	ids <- "two-222"
	_, at := f.hold(t, bob)
	h.Body.Close()
	<-f.done
	ids <- "three-333"
	f.hold(t, alice)
	if got := f.postTo(t, bob, at); got != http.StatusAccepted {
		t.Errorf("in a session that is open: %d", got)
	}
}

// TestIDInAURLIsOfItsServerAlone holds for a route to another.
func TestIDInAURLIsOfItsServerAlone(t *testing.T) {
	t.Parallel()
	other, got := recorder(t)
	f := among(t, older(t, always("/mcp/messages/s3cr3t"), func(*http.Request) {}).URL)
	f.routes = append(f.routes, &route{Route: Route{Path: "/other", Allow: true, Mode: Optional}, upstreams: f.upstreams(Route{Upstreams: urls(t, other)})})
	f.hold(t, alice)
	if status := f.postTo(t, bob, "/other/s3cr3t"); status != http.StatusOK || len(got) != 1 {
		t.Errorf("%d", status)
	}
}

// TestUnknownIDInAQueryDoesNothing holds on plain routes, also for a body that is not
// read there: a server that knows the id would act for its caller.
func TestUnknownIDInAQueryDoesNothing(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := stand(t, Options{}, upstream)
	for name, change := range map[string]func(*http.Request){
		"JSON": func(*http.Request) {}, "chunked": func(r *http.Request) { r.ContentLength = -1 }, "text": func(r *http.Request) { r.Header.Set("Content-Type", "text/json") },
		"no type": func(r *http.Request) { r.Header.Del("Content-Type") }, "post": func(r *http.Request) { r.Method = "post" },
		"long": func(r *http.Request) {
			long := callEcho + strings.Repeat(" ", peeked)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(long)), int64(len(long))
		},
	} {
		req := f.request(t, http.MethodPost, "/messages?sessionId=victim", callEcho)
		change(req)
		if res, body := f.do(t, req); res.StatusCode != http.StatusNotFound || len(got) > 0 {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, _ := f.do(t, f.request(t, http.MethodGet, "/page?sessionId=mine", "")); res.StatusCode != http.StatusOK {
		t.Errorf("a GET of something else: %d", res.StatusCode)
	}
}

func TestQueriesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	f := among(t, numbering(t, always("one")).URL)
	for _, query := range []string{"/mcp?region=eu", "/mcp?session=5", "/mcp?region=%zz&x", "/mcp/below"} {
		if got := f.postTo(t, alice, query); got != http.StatusOK {
			t.Errorf("%s: %d", query, got)
		}
	}
}

// TestEndpointIsBoundBeforeItIsRead holds for every way in which the event may
// come.
func TestEndpointIsBoundBeforeItIsRead(t *testing.T) {
	t.Parallel()
	for _, eol := range []string{"\n", "\r", "\r\n"} {
		stream := strings.ReplaceAll("\xef\xbb\xbf: hi\nretry: 5\n\nid: 1\nevent: endpoint\ndata: /mcp?sessionId=a\n\nevent: endpoint\ndata: /mcp?sessionId=b\n\n", "\n", eol)
		for _, size := range []int{1, 2, 3, 4, 5, 6, 7, 8, 1000} {
			var begun []string
			ended := 0
			e := &endpoint{src: io.NopCloser(strings.NewReader(stream)), begin: func(at string) (func(), error) {
				begun = append(begun, at)
				return func() { ended++ }, nil
			}}
			got := ""
			for b := make([]byte, size); ; {
				n, err := e.Read(b)
				if got += string(b[:n]); strings.Contains(got, "sessionId=a"+eol+eol) && len(begun) != 1 {
					t.Fatalf("%q by %d is read before it has begun", got, size)
				}
				if err != nil {
					break
				}
			}
			e.Close()
			if e.Close(); got != stream || len(begun) != 1 || begun[0] != "/mcp?sessionId=a" || ended != 1 {
				t.Errorf("%q by %d: %q begun, %d ended", got, size, begun, ended)
			}
		}
	}
}

// FuzzSessionNames holds that a session which some server could read in a query
// is found, and that none is made up.
func FuzzSessionNames(f *testing.F) {
	for _, q := range []string{"sessionId=a", "a=b&session_id=%61", "sessionid=a;sessionId=b", "sessionId[]=a", "%73essionId=a+b", "sessionId", "&&=&sessionId=%zz", ""} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		id, ok := queryID(query)
		values, _ := url.ParseQuery(query)
		for name, all := range values {
			switch name {
			case "sessionId", "session_id", "sessionid", "sessionId[]":
				for _, v := range all {
					if ok && v != "" && v != id {
						t.Errorf("%q names %q, and %q was found", query, v, id)
					}
				}
			}
		}
		if ok && id != "" && !strings.Contains(strings.ToLower(unescaped(query)), "id") {
			t.Errorf("%q names nothing, and %q was found", query, id)
		}
	})
}

// closing is an upstream that tells whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestEndpointThatIsClosedBeginsNothing(t *testing.T) {
	t.Parallel()
	src := &closing{Reader: strings.NewReader("event: endpoint\ndata: /a\n\n")}
	e := &endpoint{src: src, begin: func(string) (func(), error) { t.Error("it begins"); return nil, nil }}
	e.Close()
	if _, err := e.Read(make([]byte, 100)); err != nil || !src.closed {
		t.Errorf("%v, closed: %v", err, src.closed)
	}
}

// TestEndpointThatIsRefusedShowsNothing holds however often it is read.
func TestEndpointThatIsRefusedShowsNothing(t *testing.T) {
	t.Parallel()
	said := "event: endpoint\ndata: /a\n\n"
	e := &endpoint{src: io.NopCloser(strings.NewReader(said + said)), begin: func(string) (func(), error) { return nil, errShared }}
	for range 3 {
		if n, err := e.Read(make([]byte, len(said))); n != 0 || err != errShared {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	e.Close()
}

// TestEndpointThatIsTheRoutesPathBelongsToItsCaller holds where the stream is
// elsewhere: who else posts there would be in the same session.
func TestEndpointThatIsTheRoutesPathBelongsToItsCaller(t *testing.T) {
	t.Parallel()
	f := among(t, older(t, always("/mcp"), func(*http.Request) {}).URL)
	req := f.as(t, alice, "", http.MethodGet, "")
	req.URL.Path = "/mcp/sse"
	res, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, len(": hello\n\nevent: endpoint\ndata: /mcp\n\n"))); err != nil {
		t.Fatal(err)
	}
	if a, b := f.postTo(t, alice, "/mcp"), f.postTo(t, bob, "/mcp"); a != http.StatusAccepted || b != http.StatusNotFound {
		t.Errorf("%d %d", a, b)
	}
}
