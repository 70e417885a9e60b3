package session

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

// memoryServer is an MCP server without a network, for the clock of a bubble.
type memoryServer struct {
	mu          sync.Mutex
	broken      bool // it begins no sessions
	forgetful   bool // it loses them at once
	live        string
	began       int
	initializes int
	calls       int
}

func (s *memoryServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil { // DELETE
		return answerWith(req, 200, "", ""), nil
	}
	b, _ := io.ReadAll(req.Body)
	req.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	id := req.Header.Get(headerSession)
	switch {
	case strings.Contains(string(b), `"initialize"`):
		s.initializes++
		if s.broken {
			return answerWith(req, 503, "", ""), nil
		}
		s.began++
		s.live = fmt.Sprint("session-", s.began)
		own := "1"
		if all := messages(b); len(all) == 1 {
			own = string(all[0].ID)
		}
		return answerWith(req, 200, s.live, `{"jsonrpc":"2.0","id":`+own+`,"result":{"protocolVersion":"2025-06-18"}}`), nil
	case strings.Contains(string(b), `initialized`):
		return answerWith(req, 202, "", ""), nil
	}
	s.calls++
	if id != s.live || s.forgetful {
		return answerWith(req, 404, "", "gone"), nil
	}
	return answerWith(req, 200, id, "{}"), nil
}

func answerWith(req *http.Request, status int, id, body string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	if id != "" {
		h.Set(headerSession, id)
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req}
}

// exchangeOf sends a message and returns the answer's status and session.
func exchangeOf(t *testing.T, rt http.RoundTripper, id, body string) (int, string) {
	t.Helper()
	req, _ := http.NewRequest("POST", "https://mcp.test/mcp", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if id != "" {
		req.Header.Set(headerSession, id)
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode, res.Header.Get(headerSession)
}

const (
	aBeginning = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"a":1}}`
	aCall      = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{}}`
)

func TestTargetThatStaysBrokenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		var events [kinds]int
		rt := New(srv, Options{
			Book: book, Cooldown: 5 * time.Second, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20),
			Note: func(_ context.Context, e Event) { srv.mu.Lock(); events[e.Kind]++; srv.mu.Unlock() },
		})
		_, id := exchangeOf(t, rt, "", aBeginning)
		_, other := exchangeOf(t, rt, "", aBeginning)
		call := func(id string, status int) {
			t.Helper()
			if got, _ := exchangeOf(t, rt, id, aCall); got != status {
				t.Errorf("status %d, want %d", got, status)
			}
		}
		asked := func(n int) {
			t.Helper()
			srv.mu.Lock()
			defer srv.mu.Unlock()
			if srv.initializes != n {
				t.Errorf("%d initialize, want %d", srv.initializes, n)
			}
		}
		srv.live, srv.broken = "", true
		for range 60 { // a minute of calls, ten a second, in two sessions
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() { call(id, 404) })
				all.Go(func() { call(other, 404) })
			}
			all.Wait()
			time.Sleep(time.Second)
		}
		srv.mu.Lock()
		if n := srv.initializes - 2; n < 12 || n > 24 { // one or two every 5 s
			t.Errorf("%d initialize in a minute of a broken server", n)
		}
		if n := events[Suppressed] + events[Lost]; events[Suppressed] < 500 || n > 600 {
			t.Errorf("%d suppressed, %d lost", events[Suppressed], events[Lost])
		}
		srv.broken = false
		before := srv.initializes
		srv.mu.Unlock()
		time.Sleep(5 * time.Second)
		call(id, 200)
		asked(before + 1)

		// What is lost again at once rests, but nobody else.
		srv.mu.Lock()
		srv.forgetful = true
		srv.mu.Unlock()
		call(id, 404)
		asked(before + 1)
		call(other, 404) // replaced, and refused again
		asked(before + 2)
		call(other, 404)
		time.Sleep(5*time.Second - 1)
		call(id, 404)
		call(other, 404)
		asked(before + 2)
		time.Sleep(time.Nanosecond)
		srv.mu.Lock()
		srv.forgetful, srv.live = false, ""
		srv.mu.Unlock()
		call(id, 200)
		asked(before + 3)
		srv.mu.Lock()
		srv.live = ""
		srv.mu.Unlock()
		call(other, 200)
		asked(before + 4)
	})
}

func TestOldVersionOfOneSessionIsNoRestForOthers(t *testing.T) {
	t.Parallel()
	srv, book := new(memoryServer), NewBook()
	defer book.Close()
	var old bool
	next := roundTrip(func(req *http.Request) (*http.Response, error) {
		res, err := srv.RoundTrip(req)
		if id := res.Header.Get(headerSession); id != "" && old {
			b, _ := io.ReadAll(res.Body)
			res.Body = io.NopCloser(strings.NewReader(strings.Replace(string(b), "2025-06-18", "2025-03-26", 1)))
		}
		return res, err
	})
	rt := New(next, Options{Book: book, Cooldown: time.Hour, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)})
	_, id := exchangeOf(t, rt, "", aBeginning)
	old = true
	_, other := exchangeOf(t, rt, "", aBeginning)
	old, srv.live = false, ""
	for range 2 {
		if status, _ := exchangeOf(t, rt, other, aCall); status != 404 {
			t.Errorf("status %d in the session of another version", status)
		}
	}
	if status, _ := exchangeOf(t, rt, id, aCall); status != 200 || srv.initializes != 4 {
		t.Errorf("status %d in another session, %d initialize", status, srv.initializes)
	}
}

func TestRecoveryThatTakesTooLongEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		var hang bool
		var failed Event
		next := roundTrip(func(req *http.Request) (*http.Response, error) {
			if hang && req.Header.Get(headerSession) == "" {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return srv.RoundTrip(req)
		})
		rt := New(next, Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20), Note: func(_ context.Context, e Event) {
			if e.Kind == Failed {
				failed = e
			}
		}})
		_, id := exchangeOf(t, rt, "", aBeginning)
		srv.live, hang = "", true
		if status, _ := exchangeOf(t, rt, id, aCall); status != 404 {
			t.Errorf("status %d", status)
		}
		if failed.Detail != "too late" || failed.Took != mostRecovery {
			t.Errorf("%+v", failed)
		}
	})
}

func TestClientWaitsForAProofAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		next := roundTrip(func(req *http.Request) (*http.Response, error) {
			switch {
			case req.Method == "GET":
				return answerWith(req, 404, "", ""), nil
			case req.Header.Get(headerSession) != "": // the ping
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return srv.RoundTrip(req)
		})
		rt := New(next, Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)})
		_, id := exchangeOf(t, rt, "", aBeginning)
		req, _ := http.NewRequest("GET", "https://mcp.test/mcp", nil)
		req.Header.Set(headerSession, id)
		begun := time.Now()
		res, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if d := time.Since(begun); res.StatusCode != 404 || d != mostProof {
			t.Errorf("status %d after %v", res.StatusCode, d)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestIdleSessionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		rt := New(srv, Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)})
		_, idle := exchangeOf(t, rt, "", aBeginning)
		_, streaming := exchangeOf(t, rt, "", aBeginning)
		leave := book.find(key{"", "mcp.test/mcp", streaming}).enter(&book.find(key{"", "mcp.test/mcp", streaming}).streams)
		_, used := exchangeOf(t, rt, "", aBeginning)
		time.Sleep(20 * time.Hour)
		exchangeOf(t, rt, used, aCall)
		time.Sleep(4 * time.Hour)
		if n := len(book.Sessions()); n != 3 {
			t.Errorf("%d sessions after 24 h", n)
		}
		time.Sleep(time.Nanosecond)
		left := map[string]bool{}
		for _, s := range book.Sessions() {
			left[s.Session] = true
		}
		if left[digest(idle)] || !left[digest(streaming)] || !left[digest(used)] {
			t.Errorf("left after more than 24 h: %v", left)
		}
		leave()
		time.Sleep(20 * time.Hour)
		if n := len(book.Sessions()); n != 0 || book.bytes != 0 || len(book.sessions) != 0 {
			t.Errorf("%d sessions, %d bytes after 44 h", n, book.bytes)
		}
	})
}

func TestWhatASessionStoresIsCounted(t *testing.T) {
	t.Parallel()
	srv, book := new(memoryServer), NewBook()
	defer book.Close()
	rt := New(srv, Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)})
	_, id := exchangeOf(t, rt, "", strings.Replace(aBeginning, `"a":1`, `"a":"`+strings.Repeat("x", 1000)+`"`, 1))
	before := book.bytes
	if before < overhead+1000 {
		t.Errorf("%d bytes", before)
	}
	setting := `{"jsonrpc":"2.0","id":2,"method":"resources/METHOD","params":{"uri":"` + strings.Repeat("x", 1000) + `"}}`
	exchangeOf(t, rt, id, strings.Replace(setting, "METHOD", "subscribe", 1))
	if book.bytes < before+2000 {
		t.Errorf("%d bytes with a subscription, %d without", book.bytes, before)
	}
	exchangeOf(t, rt, id, strings.Replace(setting, "METHOD", "unsubscribe", 1))
	if book.bytes != before {
		t.Errorf("%d bytes after it, %d before", book.bytes, before)
	}
}

func TestSessionThatCannotBeRememberedInItsBoundsIsNot(t *testing.T) {
	t.Parallel()
	srv, book := new(memoryServer), NewBook()
	defer book.Close()
	rt := New(srv, Options{Book: book})
	for name, body := range map[string]string{
		"params":                strings.Replace(aBeginning, `"a":1`, `"a":"`+strings.Repeat("x", mostParams)+`"`, 1),
		"message":               strings.Replace(aBeginning, `"a":1`, `"a":"`+strings.Repeat("x", mostBegin)+`"`, 1),
		"no params":             strings.Replace(aBeginning, `"params":{"a":1}`, `"x":1`, 1),
		"ambiguous":             strings.Replace(aBeginning, `"a":1}`, `},"method":"ping"`, 1),
		"in a batch":            "[" + aBeginning + "]",
		"the method in a value": strings.Replace(aCall, "tools/call", "not initialize", 1),
	} {
		if exchangeOf(t, rt, "", body); len(book.Sessions()) > 0 {
			t.Errorf("%s: it is remembered", name)
		}
	}
	if exchangeOf(t, rt, "", aBeginning); len(book.Sessions()) != 1 {
		t.Error("nothing is remembered")
	}
}
