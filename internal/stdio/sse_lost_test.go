package stdio

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	toolsChanged   = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	promptsChanged = `{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`
)

func TestLostStreamIsReplacedAndTheSessionBegunAnew(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.reply = func(_ int, m message) string {
		if m.Method == "hang" {
			return ""
		}
		return "did"
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	level := `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}`
	for i, m := range []string{
		level, strings.Replace(level, "info", "debug", 1),
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:b"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:c"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"a:b"}}`,
	} {
		c.say(m)
		if got := c.hear(); !strings.Contains(got, `"did"`) {
			t.Errorf("%d: %s", i, got)
		}
	}
	c.say(ask("2", "hang"))
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 logging/setLevel", "1 logging/setLevel",
		"1 resources/subscribe", "1 resources/subscribe", "1 resources/unsubscribe", "1 hang")
	a.cut(1)
	c.hears(`{"jsonrpc":"2.0","id":2,"error":{"code":-32016,"message":"the connection to the server broke while it worked on this; it may have been carried out"}}`)
	c.hears(toolsChanged, promptsChanged) // without being asked: the client listens
	a.saw(t, "2 GET", "2 initialize", "2 notifications/initialized", "2 logging/setLevel", "2 resources/subscribe")
	c.say(ask("3", "tools/call"))
	c.hears(did("3", "tools/call"))
	a.saw(t, "2 tools/call")
	if rest, _ := c.end(); len(rest) > 0 {
		t.Errorf("what is ours has been shown: %q", rest)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	anew := a.raw[len(a.raw)-5:]
	for i, part := range []string{
		`"id":"injectproxy-`, `"method":"notifications/initialized"`, `"params":{"level":"debug"}`, `"params":{"uri":"a:c"}`,
	} {
		if !strings.Contains(anew[i], part) {
			t.Errorf("%s has no %s", anew[i], part)
		}
	}
	if !strings.Contains(anew[0], `"params":{"protocolVersion":"2024-11-05","clientInfo":{"name":"x"}}`) {
		t.Errorf("begun anew with %s", anew[0])
	}
}

func TestCallsWaitWhileALostStreamIsReplaced(t *testing.T) {
	t.Parallel()
	a := newAged()
	again := make(chan struct{})
	a.opened = func(http.ResponseWriter, *http.Request) bool {
		if a.asked() > 1 {
			<-again
		}
		return false
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	a.cut(1)
	c.say(ask("1", "tools/call"), ask("2", "tools/call"), `{"jsonrpc":"2.0","method":"notifications/progress"}`)
	close(again)
	heard := map[string]bool{c.hear(): true, c.hear(): true, c.hear(): true, c.hear(): true}
	for _, m := range []string{toolsChanged, promptsChanged, did("1", "tools/call"), did("2", "tools/call")} {
		if !heard[m] {
			t.Errorf("%s is not among %v", m, heard)
		}
	}
}

// TestRequestThatFindsItsSessionForgottenIsSentOnceMore holds that a refusal that
// says so is no reason to fail: the server has not carried it out.
func TestRequestThatFindsItsSessionForgottenIsSentOnceMore(t *testing.T) {
	t.Parallel()
	for _, sign := range []struct {
		status int
		body   string
	}{{404, ""}, {404, "Session not found"}, {400, "No transport found for sessionId"}, {400, "Invalid session ID\n"}} {
		a := newAged()
		a.posted = func(w http.ResponseWriter, n int, m message) bool {
			if n == 1 && m.Method == "tools/call" {
				http.Error(w, sign.body, sign.status)
				return true
			}
			return false
		}
		c, _ := bridge(t, a, "/sse", SSE)
		c.begin(a)
		c.say(ask("1", "tools/call"))
		c.hears(toolsChanged, promptsChanged, did("1", "tools/call"))
		a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 tools/call",
			"2 GET", "2 initialize", "2 notifications/initialized", "2 tools/call")
	}
}

func TestRequestThatIsNeverFoundIsRefused(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.posted = func(w http.ResponseWriter, _ int, m message) bool {
		if m.Method == "tools/call" {
			http.Error(w, "not here", http.StatusNotFound)
		}
		return m.Method == "tools/call"
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	c.say(ask("1", "tools/call"))
	c.hears(toolsChanged, promptsChanged, `{"jsonrpc":"2.0","id":1,"error":{"code":-32016,"message":"the server answered 404 Not Found: not here"}}`)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 tools/call",
		"2 GET", "2 initialize", "2 notifications/initialized", "2 tools/call")
}

// TestReplyToALostSessionIsNotSentToTheNext holds that a server cannot take the
// answer to another question for its own.
func TestReplyToALostSessionIsNotSentToTheNext(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	asked := `{"jsonrpc":"2.0","id":7,"method":"roots/list"}`
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	a.say(1, "data: "+asked+"\n\n")
	c.hears(asked)
	a.cut(1)
	c.hears(toolsChanged, promptsChanged)
	a.saw(t, "2 GET", "2 initialize", "2 notifications/initialized")
	c.say(result(7))
	a.say(2, "data: "+strings.Replace(asked, "7", "8", 1)+"\n\n")
	c.hear()
	c.say(result(7), result(8))
	a.saw(t, "2 response 8")
}

func TestServerThatComesBackWithAnotherVersionFailsCallsWithAClearLine(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	a.mu.Lock()
	a.version = "2025-03-26"
	a.mu.Unlock()
	a.cut(1)
	c.say(ask("1", "tools/call"))
	if got := c.hear(); !strings.Contains(got, "another version of the protocol: restart the client") || !strings.Contains(got, `"id":1`) {
		t.Error(got)
	}
}

func TestLastEventIsNamedWhenTheStreamIsOpenedAgain(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.say(1, "id: e-7\ndata: "+toolsChanged+"\n\n")
	c.hears(toolsChanged)
	a.cut(1)
	c.hears(toolsChanged, promptsChanged)
	a.mu.Lock()
	defer a.mu.Unlock()
	want(t, "Last-Event-ID first", a.gets[0].Get("Last-Event-ID"), "")
	want(t, "Last-Event-ID then", a.gets[1].Get("Last-Event-ID"), "e-7")
}

// TestStreamIsNotOpenedAgainForNobody holds that a server is left alone by a
// client that has not begun.
func TestStreamIsNotOpenedAgainForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		c := bubbled(t, a, "/sse", SSE)
		c.say(beginOld)
		c.hears(a.answer(0, messageOf(beginOld)))
		a.cut(1)
		time.Sleep(time.Hour)
		want(t, "streams", a.asked(), 1)
		c.say(saidBegun, ask("1", "x"))
		c.hears(did("1", "x"))
		a.saw(t, "1 GET", "1 initialize", "2 GET", "2 initialize", "2 notifications/initialized", "2 x")
	})
}

func TestServerThatStaysAwayIsAskedLessAndLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.retry = ""
		var at []time.Time
		a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
			at = append(at, time.Now())
			if len(at) == 1 || len(at) > 8 {
				return false
			}
			http.Error(w, "away", http.StatusServiceUnavailable)
			return true
		}
		c := bubbled(t, a, "/sse", SSE)
		c.begin(a)
		a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
		a.cut(1)
		lost := time.Now()
		c.say(ask("1", "tools/call"))
		if got := c.hear(); !strings.Contains(got, "could not be made again within 30 s: the server answered 503 Service Unavailable: away") {
			t.Error(got)
		}
		want(t, "wait of a call", time.Since(lost), mostWait)
		c.hears(toolsChanged, promptsChanged)
		for i, base := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			gap := at[i+1].Sub(at[i])
			if i == 0 {
				gap = at[1].Sub(lost)
			}
			if gap < base*800*time.Millisecond || gap > base*1200*time.Millisecond+time.Second/10 {
				t.Errorf("try %d after %v", i+1, gap)
			}
		}
		c.say(ask("2", "x"))
		c.hears(did("2", "x"))
	})
}

// TestRefusedStreamAnswersThoseWhoWait holds that nobody waits where waiting
// does not help.
func TestRefusedStreamAnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
		if a.asked() == 1 {
			return false
		}
		http.Error(w, "no longer yours", http.StatusForbidden)
		return true
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	a.cut(1)
	c.say(ask("1", "tools/call"))
	c.hears(`{"jsonrpc":"2.0","id":1,"error":{"code":-32016,"message":"the server answered 403 Forbidden: no longer yours"}}`)
}

func TestRestartsInARowLoseNoCallWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	for n := 1; n <= 4; n++ {
		a.cut(n)
		id := fmt.Sprint(n)
		c.say(ask(id, "x"))
		answers := 0
		for range 3 {
			if strings.Contains(c.hear(), `"id":`+id) {
				answers++
			}
		}
		want(t, "answers", answers, 1)
		if first := <-a.got; first != fmt.Sprintf("%d x", n) { // which was refused: the end of the stream was not known yet
			want(t, "what the server saw", first, fmt.Sprintf("%d GET", n+1))
		} else {
			a.saw(t, fmt.Sprintf("%d GET", n+1))
		}
		a.saw(t, fmt.Sprintf("%d initialize", n+1), fmt.Sprintf("%d notifications/initialized", n+1), fmt.Sprintf("%d x", n+1))
	}
}
