package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

var errConnection = errors.New("EOF")

// cutBody is an answer that breaks off where a message stands half.
type cutBody struct{ io.Reader }

func (c *cutBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (*cutBody) Close() error { return nil }

// lateError is the time-out of a connection.
type lateError struct{ error }

func (lateError) Timeout() bool   { return true }
func (lateError) Temporary() bool { return true }

// breaking is a server that lets the first messages of a recovery fail.
type breaking struct {
	*memoryServer
	only  string // of the messages
	times int
	fail  func(*http.Request) (*http.Response, error)

	mu           sync.Mutex
	asked, ended int
}

func (b *breaking) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodDelete {
		b.count(&b.ended)
		return answerWith(req, 200, "", ""), nil
	}
	said, _ := io.ReadAll(req.Body)
	req.Body.Close()
	if strings.Contains(string(said), b.only) && b.count(&b.asked) <= b.times {
		return b.fail(req)
	}
	req.Body = io.NopCloser(strings.NewReader(string(said)))
	return b.memoryServer.RoundTrip(req)
}

func (b *breaking) count(n *int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
	return *n
}

func TestRecoveryOutlivesOneBrokenConnection(t *testing.T) {
	t.Parallel()
	breaks := func(*http.Request) (*http.Response, error) { return nil, errConnection }
	late := errors.New("late")
	for name, tt := range map[string]struct {
		only   string
		times  int
		fail   func(*http.Request) (*http.Response, error)
		asked  int
		waited time.Duration
		failed string // why the recovery did; "": it did not
		ended  int
	}{
		"of initialize":          {`"initialize"`, 1, breaks, 2, breath, "", 0},
		"of initialize, twice":   {`"initialize"`, 2, breaks, 2, breath, "no answer", 0},
		"of initialized":         {`/initialized`, 1, breaks, 2, breath, "", 0},
		"of initialized, twice":  {`/initialized`, 2, breaks, 2, breath, "no answer", 1},
		"in the answer":          {`"initialize"`, 1, cut(""), 2, breath, "", 0},
		"in that of a session":   {`"initialize"`, 1, cut("half"), 2, breath, "", 1},
		"in both":                {`"initialize"`, 2, cut("half"), 2, breath, "no answer", 2},
		"none, but no answer":    {`"initialize"`, 1, func(req *http.Request) (*http.Response, error) { return answerWith(req, 200, "", "{}"), nil }, 1, 0, "no answer", 0},
		"none, but a refusal":    {`"initialize"`, 1, func(req *http.Request) (*http.Response, error) { return answerWith(req, 503, "", ""), nil }, 1, 0, "refused", 0},
		"none, but a rule's end": {`"initialize"`, 1, func(*http.Request) (*http.Response, error) { return nil, late }, 1, 0, "no answer", 0},
		"none, but a time-out":   {`"initialize"`, 1, func(*http.Request) (*http.Response, error) { return nil, lateError{errConnection} }, 1, 0, "no answer", 0},
		"none, but no token":     {`"initialize"`, 1, func(*http.Request) (*http.Response, error) { return nil, errNoToken }, 1, 0, "no token", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				book := NewBook()
				defer book.Close()
				srv := &breaking{memoryServer: new(memoryServer), only: "nothing"}
				var failed string
				rt := New(srv, Options{
					Book: book, Cooldown: time.Hour, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20),
					Explains: func(err error) bool { return err == errNoToken },
					Late:     func(err error) bool { return err == late },
					Note: func(_ context.Context, e Event) {
						if e.Kind == Failed {
							failed = e.Detail
						}
					},
				})
				_, id := exchangeOf(t, rt, "", aBeginning)
				srv.live, srv.only, srv.times, srv.fail = "", tt.only, tt.times, tt.fail
				start := time.Now()
				status, _ := callOf(rt, id)
				if want := map[bool]int{true: 200, false: 404}[tt.failed == ""]; status != want && tt.failed != "no token" {
					t.Errorf("status %d, want %d", status, want)
				}
				if took := time.Since(start); took != tt.waited {
					t.Errorf("after %v, want %v", took, tt.waited)
				}
				synctest.Wait()
				if srv.asked != tt.asked || srv.ended != tt.ended || failed != tt.failed {
					t.Errorf("asked %d times, want %d; %d sessions ended, want %d; failed %q, want %q", srv.asked, tt.asked, srv.ended, tt.ended, failed, tt.failed)
				}
			})
		})
	}
}

// cut is an answer that breaks off, after it has begun a session if that is one.
func cut(session string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		res := answerWith(req, 200, session, "")
		res.Body, res.ContentLength = &cutBody{strings.NewReader(`{"jsonrpc":`)}, -1
		return res, nil
	}
}

var errNoToken = errors.New("no token")

// callOf calls in a session, and may fail.
func callOf(rt http.RoundTripper, id string) (status int, err error) {
	req, _ := http.NewRequest("POST", "https://mcp.test/mcp", strings.NewReader(aCall))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(headerSession, id)
	res, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Body.Close()
}

func TestNextTryOfARecoveryIsNotMadeWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers time.Duration // the first try, with a broken connection
		closes  time.Duration // the Book; 0: not
		took    time.Duration
		failed  string
	}{
		"too late":           {mostRecovery - breath/2, 0, mostRecovery, "too late"},
		"the end of the run": {time.Second, time.Second + breath/2, time.Second + breath/2, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				book := NewBook()
				defer book.Close()
				srv := &breaking{memoryServer: new(memoryServer), only: "nothing"}
				var failed Event
				rt := New(srv, Options{Book: book, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20), Note: func(_ context.Context, e Event) {
					if e.Kind == Failed {
						failed = e
					}
				}})
				_, id := exchangeOf(t, rt, "", aBeginning)
				srv.live, srv.only, srv.times = "", `"initialize"`, 9
				srv.fail = func(*http.Request) (*http.Response, error) { time.Sleep(tt.answers); return nil, errConnection }
				if tt.closes > 0 {
					time.AfterFunc(tt.closes, book.Close)
				}
				callOf(rt, id)
				if failed.Detail != tt.failed || failed.Took != tt.took || srv.asked != 1 {
					t.Errorf("%+v, asked %d times", failed, srv.asked)
				}
			})
		})
	}
}
