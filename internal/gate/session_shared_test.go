package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// shaky is a table in memory that tells what it was asked, and fails where it is
// told to.
type shaky struct {
	*binding.Memory
	shared bool
	hang   func(context.Context) // before it says who has one; may be nil

	mu    sync.Mutex
	fails map[string]int // by question, which one is the first to fail, from 1; 0: none
	asked []string
}

var errShaky = errors.New("the table fails")

func (s *shaky) ask(what string, keys int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprint(what, " ", keys))
	if n, ok := s.fails[what]; ok {
		if s.fails[what] = max(n-1, 1); n == 1 {
			return errShaky
		}
	}
	return nil
}

func (s *shaky) Find(ctx context.Context, keys ...binding.Key) ([]binding.Binding, error) {
	if err := s.ask("find", len(keys)); err != nil {
		return nil, err
	}
	return s.now().Find(ctx, keys...)
}

func (s *shaky) Bind(ctx context.Context, k binding.Key, b binding.Binding) (binding.Binding, error) {
	if s.hang != nil {
		s.hang(ctx)
	}
	if err := s.ask("bind", 1); err != nil {
		return binding.Binding{}, err
	}
	return s.now().Bind(ctx, k, b)
}

func (s *shaky) Forget(ctx context.Context, keys ...binding.Key) error {
	if err := s.ask("forget", len(keys)); err != nil {
		return err
	}
	return s.now().Forget(ctx, keys...)
}

// lose has the table begin anew, as a Redis does that keeps nothing on disk.
func (s *shaky) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Memory = binding.NewMemory()
}

// now is what the table has.
func (s *shaky) now() *binding.Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Memory
}

// Count returns how many sessions are known.
func (s *shaky) Count() int { return s.now().Count() }

func (s *shaky) Shared() bool { return s.shared }

// fail has the questions of that kind fail from the nth on; 0: none.
func (s *shaky) fail(what string, nth int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails = map[string]int{}
	}
	if s.fails[what] = nth; nth == 0 {
		delete(s.fails, what)
	}
}

// was returns what was asked since it was called last.
func (s *shaky) was() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.asked
	s.asked = nil
	return all
}

// sharing is among with a table that gates share.
func sharing(t *testing.T, upstreams ...string) (*front, *shaky) {
	t.Helper()
	f := among(t, upstreams...)
	s := &shaky{Memory: binding.NewMemory(), shared: true}
	f.sessions = s
	return f, s
}

// at sends a POST of who's to another URL of the gate.
func (f *front) at(t *testing.T, who, session, to string) *http.Request {
	t.Helper()
	req := f.as(t, who, session, http.MethodPost, callEcho)
	req.URL.Path, req.URL.RawQuery, _ = strings.Cut(to, "?")
	return req
}

// TestWhatIsOfASessionIsRefusedWhileNobodyKnowsWhose holds that the rest is served,
// and that the gate stays ready.
func TestWhatIsOfASessionIsRefusedWhileNobodyKnowsWhose(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f, table := sharing(t, upstream)
	table.fail("find", 1)
	table.fail("bind", 1)
	for name, req := range map[string]*http.Request{
		"a header":      f.as(t, alice, "one", "POST", callEcho),
		"of a stranger": f.as(t, "", "one", "POST", callEcho),
		"a stream":      f.as(t, alice, "one", "GET", ""),
		"an end":        f.as(t, alice, "one", "DELETE", ""),
		"a query":       f.at(t, alice, "", "/mcp?sessionId=a"),
		"another":       f.at(t, alice, "", "/mcp/messages?session_id=a"),
	} {
		res, said := f.do(t, req)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || len(got) != 0 {
			t.Errorf("%s: %s, %s", name, res.Status, said)
		}
		if req.Method == "POST" && !strings.Contains(said, `"id":1,"error"`) {
			t.Errorf("%s: the message is not answered by %s", name, said)
		}
		if done := <-f.done; done.Allowed {
			t.Errorf("%s: told of %+v", name, done)
		}
	}
	for name, req := range map[string]*http.Request{
		"a beginning": f.as(t, alice, "", "POST", initialize), "a call": f.as(t, alice, "", "POST", callEcho), "of a stranger": f.as(t, "", "", "POST", callEcho),
		"a stream": f.as(t, alice, "", "GET", ""), "below": f.at(t, alice, "", "/mcp/below"), "a query": f.at(t, alice, "", "/mcp?region=eu"),
		"a version": f.at(t, alice, "", "/mcp?api-version=2025-03-26"), "a segment": f.at(t, alice, "", "/mcp/v2beta1"), "a key": f.at(t, alice, "", "/mcp?code=0123456789abcdefghij"),
		"readiness": f.request(t, "GET", "/readyz", ""),
	} {
		if res, said := f.do(t, req); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %s", name, res.Status, said)
		}
	}
	table.fail("find", 0)
	if res, _ := f.do(t, f.as(t, alice, "one", "POST", callEcho)); res.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown session, once that can be told: %s", res.Status)
	}
}

// TestUnknownSessionsAreToldInTheBodyOfWhatIsNotRead holds on a plain route: clients
// take another body for the end of their session.
func TestUnknownSessionsAreToldInTheBodyOfWhatIsNotRead(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := stand(t, Options{}, upstream)
	table := &shaky{Memory: binding.NewMemory(), shared: true}
	f.sessions = table
	table.fail("find", 1)
	req := f.request(t, http.MethodPost, "/", callEcho)
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set(headerSession, "one")
	if res, said := f.do(t, req); res.StatusCode != 503 || !strings.Contains(said, `"id":1,"error"`) || len(got) != 0 {
		t.Errorf("%s, %s", res.Status, said)
	}
}

// TestSessionThatCannotBeNotedIsEndedWhereItBegan holds that no client hears of it.
func TestSessionThatCannotBeNotedIsEndedWhereItBegan(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 10)
	f, table := sharing(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			b, _ := io.ReadAll(r.Body)
			ended <- fmt.Sprint(r.Header.Get(headerSession), " at ", r.URL, " of ", r.Header.Get("Mcp-Protocol-Version"), r.Header.Get("Content-Type"), string(b), r.Header.Get("Authorization"))
			return
		}
		w.Header().Set(headerSession, "one")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, pong)
	}).URL)
	table.fail("bind", 1)
	req := f.as(t, alice, "", http.MethodPost, initialize)
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	res, said := f.do(t, req)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || res.Header[headerSession] != nil ||
		!strings.Contains(said, `"id":0,"error"`) || strings.Contains(said, "result") {
		t.Errorf("%s, %s, %v", res.Status, said, res.Header)
	}
	if len(ended) != 1 {
		t.Fatalf("%d sessions were ended", len(ended))
	}
	if got := <-ended; got != "one at /mcp of 2025-11-25" {
		t.Errorf("it was ended as %s", got)
	}
	table.fail("bind", 0)
	if res, _ := f.do(t, f.as(t, alice, "", http.MethodPost, initialize)); res.StatusCode != http.StatusOK || len(ended) != 0 {
		t.Errorf("afterwards: %s", res.Status)
	}
}

// TestOnlyWhatAnInitializeBeganIsEnded holds where sessions cannot be noted: what
// another answer names, or one to who has a session, may be open for somebody else.
func TestOnlyWhatAnInitializeBeganIsEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, session, body string
		leaves              bool
		want                int
	}{
		{"a beginning", "", initialize, false, 1},
		{"a call", "", callEcho, false, 0},
		{"a beginning in a session", "two", initialize, false, 0},
		{"a batch", "", "[" + initialize + "," + callEcho + "]", false, 0},
		{"a client that leaves", "", initialize, true, 0},
	} {
		ended := make(chan string, 10)
		asked := make(chan struct{})
		f, table := sharing(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				ended <- r.Header.Get(headerSession)
				return
			}
			w.Header().Set(headerSession, "one")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, pong)
		}).URL)
		theirs := binding.Binding{Owner: binding.Owner{Tenant: "tenant", Object: alice}, Upstream: f.routes[0].upstreams[0].url.String()}
		if _, err := table.Bind(t.Context(), binding.KeyOf(byHeader, "/mcp", "two"), theirs); err != nil {
			t.Fatal(err)
		}
		table.fail("bind", 1)
		req := f.as(t, alice, c.session, http.MethodPost, c.body)
		if c.leaves {
			ctx, leave := context.WithCancel(t.Context())
			req = req.WithContext(ctx)
			table.hang = func(ctx context.Context) { leave(); <-ctx.Done(); close(asked) }
			if res, err := f.client.Do(req); err == nil {
				res.Body.Close()
			}
			<-asked
		} else if res, _ := f.do(t, req); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", c.name, res.Status)
		}
		if <-f.done; len(ended) != c.want {
			t.Errorf("%s: %d sessions were ended", c.name, len(ended))
		}
	}
}

// TestSessionOfNobodyThatCannotBeTakenIsNotEntered holds for who signs in later.
func TestSessionOfNobodyThatCannotBeTakenIsNotEntered(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f, table := sharing(t, upstream)
	if _, err := table.Bind(t.Context(), binding.KeyOf(byHeader, "/mcp", "one"), binding.Binding{Upstream: upstream}); err != nil {
		t.Fatal(err)
	}
	table.fail("bind", 1)
	if res, _ := f.do(t, f.as(t, alice, "one", http.MethodPost, callEcho)); res.StatusCode != http.StatusServiceUnavailable || len(got) != 0 {
		t.Errorf("%s", res.Status)
	}
}

// TestEndOfASessionIsPassedOnThoughItCannotBeForgotten holds for all who say so.
func TestEndOfASessionIsPassedOnThoughItCannotBeForgotten(t *testing.T) {
	t.Parallel()
	status := make(chan int, 1)
	upstream := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-status) })
	f, table := sharing(t, upstream.URL)
	caller := somebody()
	caller.Object = alice
	f.began(t, "one", caller)
	table.fail("forget", 1)
	for method, said := range map[string]int{http.MethodDelete: 204, http.MethodPost: 404} {
		body := ""
		if method == http.MethodPost {
			body = callEcho
		}
		table.was()
		status <- said
		if res, _ := f.do(t, f.as(t, alice, "one", method, body)); res.StatusCode != said || !slices.Contains(table.was(), "forget 1") {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
}

// TestStreamWhoseSessionCannotBeNotedIsCut holds wherever the table fails, and that
// nothing of it is left there.
func TestStreamWhoseSessionCannotBeNotedIsCut(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]struct {
		shared   bool
		at, what string
		nth      int
	}{
		"its id": {true, "", "bind", 1}, "its URL": {false, "/5f0c/6a1d", "bind", 1},
		"its ids, found": {false, "/5f0c/6a1d", "find", 1}, "its ids, bound": {false, "/5f0c/6a1d", "bind", 2}, "the second of them": {false, "/5f0c/6a1d", "bind", 3},
	} {
		f, table := sharing(t, older(t, always("/mcp/messages"+fails.at+"?sessionId=a"), func(*http.Request) {}).URL)
		table.shared = fails.shared
		table.fail(fails.what, fails.nth)
		h, at := f.hold(t, alice)
		if _, err := h.said.ReadByte(); at != "" || err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, then %v", name, at, err)
		}
		if <-f.done; table.Count() != 0 {
			t.Errorf("%s: %d are left", name, table.Count())
		}
	}
}

// TestIDThatCannotBeGivenToEverybodyCutsTheStream holds for what two sessions have in
// common.
func TestIDThatCannotBeGivenToEverybodyCutsTheStream(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 2)
	f, table := sharing(t, older(t, func() string { return "/mcp/messages?v=2024-11-05&sid=" + <-ids }, func(*http.Request) {}).URL)
	table.shared = false // parts of URLs are nothing that is shared
	ids <- "one-111"
	f.hold(t, alice)
	table.fail("bind", 2) // after that of the URL
	ids <- "two-222"
	if h, at := f.hold(t, bob); at != "" {
		t.Errorf("%s, %s", h.Status, at)
	}
}

// TestTableIsAskedOnceForARequest holds for what a request names, and that it is not
// asked for who has shown no token, or where nothing is named.
func TestTableIsAskedOnceForARequest(t *testing.T) {
	t.Parallel()
	f, table := sharing(t, numbering(t, always("one")).URL)
	for _, c := range []struct {
		name string
		req  *http.Request
		want []string
	}{
		{"a beginning without a session", f.at(t, alice, "", "/mcp?region=eu"), []string{"bind 1"}}, // of the answer
		{"a call", f.as(t, alice, "one", "POST", callEcho), []string{"find 1"}},
		{"a stream", f.as(t, alice, "one", "GET", ""), []string{"find 1"}},
		{"with an id in the URL", f.at(t, alice, "one", "/mcp/5f0c?sessionId=a"), []string{"find 2"}},
		{"with what is none", f.at(t, alice, "", "/mcp/5f0c"+strings.Repeat("/6a1d", 100)+"?key=0123456789abcdef"), []string{"bind 1"}},
		{"with a wrong token", f.at(t, "wrong", "one", "/mcp/5f0c?sessionId=a"), nil},
	} {
		table.was()
		f.do(t, c.req)
		<-f.done
		if got := table.was(); !slices.Equal(got, c.want) {
			t.Errorf("%s: asked %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSessionBegunAtOneGateIsHeldByAnother holds for both transports.
func TestSessionBegunAtOneGateIsHeldByAnother(t *testing.T) {
	t.Parallel()
	upstream := numbering(t, always("one")).URL
	one, table := sharing(t, nobody, upstream)
	two, _ := sharing(t, upstream, nobody)
	two.sessions = table
	one.do(t, one.as(t, alice, "", http.MethodPost, initialize))
	for who, want := range map[string]int{alice: 200, bob: 404, "": 404} {
		if res, said := two.do(t, two.as(t, who, "one", http.MethodPost, callEcho)); res.StatusCode != want {
			t.Errorf("%q: %s, %s", who, res.Status, said)
		}
	}

	upstream = older(t, always("/mcp/messages?sessionId=5f0c"), func(*http.Request) {}).URL
	one, table = sharing(t, upstream)
	two, _ = sharing(t, upstream)
	two.sessions = table
	h, at := one.hold(t, alice)
	for who, want := range map[string]int{alice: 202, bob: 404, "": 404} {
		if got := two.postTo(t, who, at); got != want {
			t.Errorf("%q posts to %s: %d", who, at, got)
		}
	}
	h.Body.Close()
	if <-one.done; table.Count() != 0 {
		t.Errorf("%d sessions are left", table.Count())
	}
}

// TestEndpointWithoutAnIDIsCutWhereGatesShareTheirSessions holds that another gate
// does not let others into what it could not know.
func TestEndpointWithoutAnIDIsCutWhereGatesShareTheirSessions(t *testing.T) {
	t.Parallel()
	for at, serves := range map[string]bool{
		"/mcp/messages": false, "/mcp/messages?key=abc": false, "/mcp/messages?sessionId=": false, "/elsewhere": false, "%zz": true, "/mcp": true, // these are none, and where the stream itself is
		"/mcp/messages?key=5f0c": false, "/mcp/0123456789abcdef0123": false, "/mcp/messages;jsessionid=5f0c": false, "/mcp/in?sessionId=a&session_id=b": false,
		"/mcp/messages?sessionId=a": true, "/mcp/5f0c?session_id=a": true,
	} {
		f, table := sharing(t, older(t, always(at), func(*http.Request) {}).URL)
		if _, got := f.hold(t, alice); (got == at) != serves {
			t.Errorf("%s: %q", at, got)
		}
		if !serves && table.Count() != 0 {
			t.Errorf("%s: %d sessions", at, table.Count())
		}
	}
}

// TestPathOfARouteIsNoID holds for one that looks like it: it may be told.
func TestPathOfARouteIsNoID(t *testing.T) {
	t.Parallel()
	f, _ := sharing(t, numbering(t, always("")).URL)
	f.routes[0].Path = "/team-42/mcp"
	for to, want := range map[string]string{
		"/team-42/mcp": "/team-42/mcp", "/team-42/mcp/below": "/team-42/mcp/below", "/team-42/mcp/team-42": "/team-42/mcp/team-42", "/team-42/mcp/team-43": "/team-42/mcp",
	} {
		f.postTo(t, alice, to)
		if r := <-f.done; r.Path != want {
			t.Errorf("%s is told as %s", to, r.Path)
		}
	}
}

// TestNobodyEntersAnOpenSessionThatTheTableHasLost holds for a Redis that began anew
// while a stream was held open: its server would carry out what another posts.
func TestNobodyEntersAnOpenSessionThatTheTableHasLost(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"/mcp?sessionId=0123456789abcdef0123", "/mcp/messages?session_id=0123", "/mcp/messages/room?transport=sse&sessionid=a",
		"/mcp/messages/0123456789abcdef0123", "/mcp/messages?key=0123456789abcdef0123", "/mcp/messages?session=0123456789abcdef0123", // of which no client hears
	} {
		f, table := sharing(t, older(t, always(at), func(*http.Request) { t.Error("the server took it") }).URL)
		if _, got := f.hold(t, alice); got == "" {
			continue
		}
		table.lose()
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "post"} {
			for _, kind := range []string{"application/json", "text/plain", ""} {
				req := f.at(t, bob, "", at)
				if req.Method = method; kind != "" {
					req.Header.Set("Content-Type", kind)
				} else {
					req.Header.Del("Content-Type")
				}
				if res, _ := f.do(t, req); res.StatusCode/100 != 4 {
					t.Errorf("%s of %q to %s: %s", method, kind, at, res.Status)
				}
			}
		}
	}
}

// TestUnknownIDInAQueryDoesNothingWhereItMayHaveBeenLost holds on plain routes, and
// whatever the body is said to be.
func TestUnknownIDInAQueryDoesNothingWhereItMayHaveBeenLost(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := stand(t, Options{}, upstream)
	f.sessions = &shaky{Memory: binding.NewMemory(), shared: true}
	for method, want := range map[string]int{"POST": 404, "PUT": 404, "PATCH": 404, "DELETE": 404, "post": 404, "GET": 200, "HEAD": 200, "OPTIONS": 200} {
		req := f.request(t, method, "/messages?sessionId=victim", "")
		if want == 404 {
			req = f.request(t, method, "/messages?sessionId=victim", "a text")
		}
		req.Header.Set("Content-Type", "text/plain")
		if res, said := f.do(t, req); res.StatusCode != want || len(got) != 0 && want == 404 {
			t.Errorf("%s: %s, %s", method, res.Status, said)
		}
		for len(got) > 0 {
			<-got
		}
	}
}

// TestPathIsNotToldWhereItMayNameASession holds also where that cannot be looked up.
func TestPathIsNotToldWhereItMayNameASession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shared, fails bool
		want          string
	}{{false, false, "/mcp/messages/5f0c"}, {false, true, "/mcp"}, {true, false, "/mcp"}, {true, true, "/mcp"}} {
		f, table := sharing(t, numbering(t, always("")).URL)
		if table.shared = c.shared; c.fails {
			table.fail("find", 1)
		}
		f.postTo(t, alice, "/mcp/messages/5f0c")
		if r := <-f.done; r.Path != c.want {
			t.Errorf("%+v: told of %s", c, r.Path)
		}
	}
}
