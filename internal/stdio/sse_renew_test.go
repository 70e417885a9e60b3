package stdio

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStreamMayWaitForSomebodyWhoSignsIn holds that the ten seconds are the
// server's: what the Route does before it asks, and between an answer and the
// next try, may take longer.
func TestStreamMayWaitForSomebodyWhoSignsIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
			if a.asked() == 1 {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return a.asked() == 1
		}
		c := bubbledBy(t, a, "/sse", SSE, func(rt http.RoundTripper) http.RoundTripper {
			return routeFunc(func(req *http.Request) (*http.Response, error) {
				if req.Method != http.MethodGet {
					return rt.RoundTrip(req)
				}
				if !pause(req.Context(), 80*time.Second) {
					return nil, context.Cause(req.Context())
				}
				res, err := rt.RoundTrip(req)
				if err != nil || res.StatusCode != http.StatusUnauthorized {
					return res, err
				}
				res.Body.Close()
				if !pause(req.Context(), 80*time.Second) {
					return nil, context.Cause(req.Context())
				}
				return rt.RoundTrip(req)
			})
		})
		c.begin(a)
		want(t, "streams", a.asked(), 2)
	})
}

// lost begins a session at a, takes the stream away, and returns when the bridge
// has noticed.
func lost(t *testing.T, c *client, a *aged) {
	t.Helper()
	c.begin(a)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
	a.cut(1)
	synctest.Wait()
}

// TestSessionIsBegunAnewUntilThatSucceeds holds that a server that is half
// awake is tried again, and that a call waits for that.
func TestSessionIsBegunAnewUntilThatSucceeds(t *testing.T) {
	t.Parallel()
	refusing := func(method string) func(a *aged) {
		return func(a *aged) {
			a.posted = func(w http.ResponseWriter, n int, m message) bool {
				if n == 2 && m.Method == method {
					http.Error(w, "not yet", http.StatusServiceUnavailable)
				}
				return n == 2 && m.Method == method
			}
		}
	}
	replying := func(text string) func(a *aged) {
		return func(a *aged) {
			a.reply = func(n int, m message) string {
				if n == 2 && m.Method == "initialize" {
					return strings.ReplaceAll(text, "ID", string(m.ID))
				}
				return "did"
			}
		}
	}
	for name, half := range map[string]func(a *aged){
		"refused":    refusing("initialize"),
		"half begun": refusing("notifications/initialized"),
		"error":      replying(`{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"not yet"}}`),
		"no version": replying(`{"jsonrpc":"2.0","id":ID,"result":{}}`),
		"twice no":   replying(`[{"jsonrpc":"2.0","id":ID,"result":{}},{"jsonrpc":"2.0","id":ID,"result":{}}]`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAged()
				half(a)
				c := bubbled(t, a, "/sse", SSE)
				lost(t, c, a)
				c.say(ask("1", "x"))
				c.hears(toolsChanged, promptsChanged, did("1", "x"))
				want(t, "streams", a.asked(), 3)
				if rest, _ := c.end(); len(rest) > 0 {
					t.Errorf("the client hears %q", rest)
				}
			})
		})
	}
}

// TestCallWaitsHalfAMinuteForAServerThatDoesNotAnswer holds that, and that the
// silent stream is then given up.
func TestCallWaitsHalfAMinuteForAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.reply = func(n int, m message) string {
			if n == 2 && m.Method == "initialize" {
				return ""
			}
			return "did"
		}
		c := bubbled(t, a, "/sse", SSE)
		lost(t, c, a)
		begun := time.Now()
		c.say(ask("1", "x"))
		if got := c.hear(); !strings.Contains(got, "could not be made again within 30 s") {
			t.Error(got)
		}
		want(t, "waited", time.Since(begun), mostWait)
		c.hears(toolsChanged, promptsChanged)
		c.say(ask("2", "x"))
		c.hears(did("2", "x"))
		want(t, "streams", a.asked(), 3)
		if took := time.Since(begun); took > 2*mostRenewal {
			t.Errorf("another stream after %v", took)
		}
	})
}

func TestAnotherVersionIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.reply = func(n int, m message) string {
			if n > 1 && m.Method == "initialize" {
				return strings.Replace(initialized(0, "2025-03-26"), `"id":0`, `"id":`+string(m.ID), 1)
			}
			return "did"
		}
		c := bubbled(t, a, "/sse", SSE)
		lost(t, c, a)
		begun := time.Now()
		c.say(ask("1", "x"))
		if got := c.hear(); !strings.Contains(got, "another version of the protocol: restart the client") {
			t.Error(got)
		}
		if took := time.Since(begun); took >= mostWait {
			t.Errorf("told after %v", took)
		}
	})
}

// TestSettingThatIsNotTakenAgainCostsNoSession holds that the server's refusal
// of one is logged alone, and that its silence is not waited for for ever.
func TestSettingThatIsNotTakenAgainCostsNoSession(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string]int{"refused": 2, "error": 2, "silent": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAged()
				a.posted = func(w http.ResponseWriter, n int, m message) bool {
					if m.Method != "logging/setLevel" || n != 2 {
						return false
					}
					switch name {
					case "refused":
						http.Error(w, "no", http.StatusForbidden)
					case "error":
						a.say(2, `data: {"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":-32601,"message":"no"}}`+"\n\n")
					}
					return true
				}
				c := bubbled(t, a, "/sse", SSE)
				c.begin(a)
				c.say(ask("1", "logging/setLevel"))
				c.hear()
				c.say(`{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"info"}}`)
				c.hear()
				a.cut(1)
				c.hears(toolsChanged, promptsChanged)
				c.say(ask("3", "x"))
				c.hears(did("3", "x"))
				want(t, "streams", a.asked(), streams)
				a.mu.Lock()
				defer a.mu.Unlock()
				last := a.posts[len(a.posts)-1]
				want(t, "version named after that", last.Header.Get("Mcp-Protocol-Version"), "2024-11-05")
			})
		})
	}
}

// TestWhatBelongsToALostSessionIsNotSaidInTheNext holds that for what the client
// says before there is another.
func TestWhatBelongsToALostSessionIsNotSaidInTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		again := make(chan struct{})
		a.opened = func(http.ResponseWriter, *http.Request) bool {
			if a.asked() > 1 {
				<-again
			}
			return false
		}
		c := bubbled(t, a, "/sse", SSE)
		c.begin(a)
		a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized")
		a.say(1, "data: "+request(7, "roots/list")+"\n\n")
		c.hear()
		a.cut(1)
		time.Sleep(5 * time.Second)
		want(t, "streams", a.asked(), 2)
		c.say(result(7), `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}`, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		synctest.Wait()
		close(again)
		c.hears(toolsChanged, promptsChanged)
		a.saw(t, "2 GET", "2 initialize", "2 notifications/initialized", "2 notifications/roots/list_changed")
	})
}

// TestNotificationThatFindsItsSessionForgottenIsSentOnceMore holds that what
// concerns more than a session is not lost with one.
func TestNotificationThatFindsItsSessionForgottenIsSentOnceMore(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.posted = func(w http.ResponseWriter, n int, m message) bool {
		if n == 1 && m.Method == "notifications/roots/list_changed" {
			http.Error(w, "Session not found", http.StatusNotFound)
			return true
		}
		return false
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	c.say(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
	c.hears(toolsChanged, promptsChanged)
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 notifications/roots/list_changed",
		"2 GET", "2 initialize", "2 notifications/initialized", "2 notifications/roots/list_changed")
}

func TestInitializeThatIsNotFoundIsNotRepeated(t *testing.T) {
	t.Parallel()
	a := newAged()
	a.posted = func(w http.ResponseWriter, _ int, _ message) bool { http.Error(w, "not here", 404); return true }
	c, _ := bridge(t, a, "/sse", SSE)
	c.say(beginOld)
	if got := c.hear(); !strings.Contains(got, "the server answered 404 Not Found: not here") {
		t.Error(got)
	}
	want(t, "streams", a.asked(), 1)
}

// TestSessionThatWasRefusedIsNotBegunAnew holds that only what has begun is.
func TestSessionThatWasRefusedIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.reply = func(n int, m message) string {
			if n == 1 {
				return `{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"no"}}`
			}
			return "did"
		}
		c := bubbled(t, a, "/sse", SSE)
		c.say(beginOld)
		c.hear()
		a.cut(1)
		time.Sleep(time.Hour)
		want(t, "streams", a.asked(), 1)
		c.begin(a)
		a.saw(t, "1 GET", "1 initialize", "2 GET", "2 initialize", "2 notifications/initialized")
	})
}

// TestSecondInitializeForgetsTheFirst holds that what was set in a session that
// the client has begun over is not set in those that follow.
func TestSecondInitializeForgetsTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		c := bubbled(t, a, "/sse", SSE)
		c.begin(a)
		c.say(`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}`)
		c.hear()
		c.say(strings.Replace(beginOld, `"id":0`, `"id":9`, 1))
		c.hear()
		a.cut(1)
		time.Sleep(time.Hour)
		want(t, "streams for a client that has not begun", a.asked(), 1)
		c.say(saidBegun, ask("2", "x"))
		c.hears(did("2", "x"))
		a.cut(2)
		c.hears(toolsChanged, promptsChanged)
		c.say(ask("3", "x"))
		c.hears(did("3", "x"))
		a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 logging/setLevel", "1 initialize",
			"2 GET", "2 initialize", "2 notifications/initialized", "2 x", "3 GET", "3 initialize", "3 notifications/initialized", "3 x")
	})
}

func TestClientWithoutParamsIsBegunAnewWithoutParams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		c := bubbled(t, a, "/sse", SSE)
		c.say(ask("0", "initialize"))
		c.hear()
		c.say(saidBegun, ask("1", "x"))
		c.hears(did("1", "x"))
		a.cut(1)
		c.hears(toolsChanged, promptsChanged)
		want(t, "streams", a.asked(), 2)
	})
}

// TestServersWishIsMet holds that for how long a server wants to be left alone,
// by its stream and by its refusals, and that a good stream makes up for tries
// that failed.
func TestServersWishIsMet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAged()
		a.retry = ""
		var at []time.Time
		a.opened = func(w http.ResponseWriter, _ *http.Request) bool {
			switch at = append(at, time.Now()); len(at) {
			case 2:
				w.Header().Set("Retry-After", "100")
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			case 3, 4, 5:
				say(w, ": not yet\n\n")
				return true
			}
			return false
		}
		c := bubbled(t, a, "/sse", SSE)
		c.begin(a)
		a.cut(1)
		c.hears(toolsChanged, promptsChanged)
		synctest.Wait()
		lost := time.Now()
		a.cut(2)
		c.hears(toolsChanged, promptsChanged)
		a.say(3, "retry: 20000\n\ndata: "+toolsChanged+"\n\n")
		c.hear()
		again := time.Now()
		a.cut(3)
		c.hears(toolsChanged, promptsChanged)
		want(t, "streams", len(at), 8)
		for i, tt := range []struct {
			gap         time.Duration
			least, most int
		}{{at[2].Sub(at[1]), 100, 101}, {at[3].Sub(at[2]), 3, 5}, {at[4].Sub(at[3]), 6, 10}, {at[5].Sub(at[4]), 12, 20}, {at[6].Sub(lost), 0, 2}, {at[7].Sub(again), 20, 21}} {
			if tt.gap < time.Duration(tt.least)*time.Second || tt.gap > time.Duration(tt.most)*time.Second {
				t.Errorf("gap %d is %v", i, tt.gap)
			}
		}
	})
}

// TestLargeMessageComesOnAnOldStream holds that only what comes before the
// endpoint has to be short.
func TestLargeMessageComesOnAnOldStream(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	large := `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + strings.Repeat("x", 300<<10) + `"}}`
	a.say(1, "data: "+large+"\n\ndata: "+toolsChanged+"\n\n")
	want(t, "the large one", c.hear() == large, true)
	c.hears(toolsChanged)
}

func TestConnectionsAreNotKeptAfterTheEnd(t *testing.T) {
	t.Parallel()
	a := newAged()
	c, route := bridge(t, a, "/sse", SSE)
	c.begin(a)
	c.end()
	want(t, "closed", route.idle.Load() > 0, true)
	a.mu.Lock()
	defer a.mu.Unlock()
	want(t, "Last-Event-ID that is none", len(a.gets[0]["Last-Event-Id"]), 0)
}

// TestStreamThatStandsIsAGoodOne holds that a client that has not begun is not
// made to wait long for the next, unless streams end as soon as they are there.
func TestStreamThatStandsIsAGoodOne(t *testing.T) {
	t.Parallel()
	for stands, most := range map[time.Duration]time.Duration{2 * stood: 2 * time.Second, 0: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			a := newAged()
			a.retry = ""
			a.reply = func(int, message) string { return "" }
			c := bubbled(t, a, "/sse", SSE)
			for n := 1; n <= 5; n++ {
				begun := time.Now()
				c.say(beginOld)
				a.saw(t, string(rune('0'+n))+" GET", string(rune('0'+n))+" initialize")
				if took := time.Since(begun); took > most || stands == 0 && n == 5 && took < 10*time.Second {
					t.Errorf("stream %d after %v", n, took)
				}
				time.Sleep(stands)
				a.cut(n)
				c.hear()
			}
		})
	}
}
