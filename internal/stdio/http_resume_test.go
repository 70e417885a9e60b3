package stdio

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a server in a bubble that answers the n-th request, from 0, with
// what stands there; where it stands in begin and last is what came and when.
type script struct {
	mu      sync.Mutex
	began   time.Time
	answers []http.HandlerFunc
	seen    []string
}

func (x *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	x.mu.Lock()
	n := len(x.seen)
	x.seen = append(x.seen, strings.TrimSpace(fmt.Sprint(r.Method, " ", time.Since(x.began), " ", r.Header.Get("Last-Event-ID"))))
	x.mu.Unlock()
	x.answers[min(n, len(x.answers)-1)](w, r)
}

// requests returns the method, the time and the last event of what came.
func (x *script) requests() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string(nil), x.seen...)
}

func play(t *testing.T, answers ...http.HandlerFunc) (*far, *script) {
	x := &script{began: time.Now(), answers: answers}
	return near(t, x.ServeHTTP), x
}

// clean is an answer that ends after text, and broken one that breaks off.
func clean(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, text) }
}

func broken(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		say(w, text)
		panic(http.ErrAbortHandler)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

const (
	note  = `{"jsonrpc":"2.0","method":"notifications/message"}`
	alive = "data: " + note + "\n\n"
)

// TestServerMayCloseAnAnswerAndBeAskedForTheRest holds what MCP 2025-11-25 calls
// polling: a priming event, the end, and a GET when the server wishes it.
func TestServerMayCloseAnAnswerAndBeAskedForTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, x := play(t,
			clean("id: a\nretry: 700\ndata:\n\n"),
			clean("id: b\n"+alive+"id: c\n"+alive),
			clean(""),
			clean("id: d\nretry: 5000\ndata: "),
			broken("id: d\nretry: 9000\ndata: \n\ndata: {"),
			clean("id: e\ndata: "+result(1)+"\n\n"),
		)
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		wantList(t, "requests", x.requests(), "POST 0s", "GET 700ms a", "GET 1.4s c", "GET 2.1s c", "GET 2.8s c", "GET 11.8s d")
		wantList(t, "said", f.said(), note, note, result(1))
	})
}

// TestServerMayHaveItselfPolledForAsLongAsTheCallWaits holds that polls that
// find nothing are no failures, and do not come too often.
func TestServerMayHaveItselfPolledForAsLongAsTheCallWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retry string
		pause time.Duration
	}{"as it says": {"5000", 5 * time.Second}, "in a hurry": {"0", firstPause}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const polls = 200
				all := []http.HandlerFunc{clean("id: 1\nretry: " + tt.retry + "\ndata:\n\n")}
				for range polls {
					all = append(all, clean(": nothing yet\n\n"), clean("retry: "+tt.retry+"\n\n"))
				}
				f, _ := play(t, append(all, clean("data: "+result(1)+"\n\n"))...)
				begun := time.Now()
				wantLine(t, "error", f.ask(t, request(1, "x")), "")
				if took := time.Since(begun); took < (2*polls-mostTries)*tt.pause || took > 2*(polls+1)*tt.pause {
					t.Errorf("%d polls took %v", 2*polls, took)
				}
			})
		})
	}
}

// TestAnswerThatBreaksOffIsGoneOnWith holds, with real connections, that an
// answer that is cut within an event is resumed behind the one before, under the
// session and without the message.
func TestAnswerThatBreaksOffIsGoneOnWith(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			switch {
			case r.Method == "POST":
				say(w, "id: 1\nretry: 1\n"+alive+"id: 2\ndata: "+result(1))
				panic(http.ErrAbortHandler)
			case r.Header.Get("Last-Event-ID") != "1" || r.Header.Get("Mcp-Session-Id") != "s" || r.Header.Get("Accept") != typeStream || len(b) > 0:
				t.Errorf("resumed with %q", r.Header)
			}
			say(w, "id: 2\ndata: "+result(1)+"\n\n")
		})
		f.s.session = "s"
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		wantList(t, "said", f.said(), note, result(1))
		wantList(t, "requests", f.route.urls(), "POST "+f.srv.URL+"/mcp", "GET "+f.srv.URL+"/mcp")
	})
}

// TestResumptionEnds holds when a call is given up that the server does not go
// on with, and how often and how soon it is asked.
func TestResumptionEnds(t *testing.T) {
	t.Parallel()
	const slowly = 4 * time.Minute
	many := func(n int) (all []string) {
		for range n {
			all = append(all, "GET")
		}
		return all
	}
	for name, tt := range map[string]struct {
		first, then http.HandlerFunc
		gets        int
		within      time.Duration
	}{
		"no id":               {broken(alive), nil, 0, 0},
		"id that was reset":   {broken("id: 1\n" + alive + "id:\n" + alive), nil, 0, 0},
		"id of control bytes": {broken("id: 1\n" + alive + "id: a\x01b\n" + alive), nil, 0, 0},
		"id that is too long": {broken("id: 1\n" + alive + "id: " + strings.Repeat("x", mostEventID+1) + "\n" + alive), nil, 0, 0},
		"405":                 {broken("id: 1\n" + alive), status(405), 1, 2 * time.Second},
		"404":                 {broken("id: 1\n" + alive), status(404), 1, 2 * time.Second},
		"400":                 {broken("id: 1\n" + alive), status(400), 1, 2 * time.Second},
		"JSON":                {broken("id: 1\n" + alive), answers(200, typeJSON, result(1)), 1, 2 * time.Second},
		"redirect":            {broken("id: 1\n" + alive), status(302), 1, 2 * time.Second},
		"503":                 {broken("id: 1\n" + alive), status(503), mostTries, slowly},
		"429":                 {broken("id: 1\n" + alive), status(429), mostTries, slowly},
		"cut":                 {broken("id: 1\n" + alive), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, mostTries, slowly},
		"empty":               {broken("id: 1\n" + alive), clean(""), mostTries, slowly},
		"alive":               {broken("id: 1\n" + alive), broken(": alive\n\n"), mostTries, slowly},
		"retry of days":       {clean("id: 1\nretry: 999999999\ndata:\n\n"), status(404), 1, mostPause},
		"Retry-After of days": {broken("id: 1\n" + alive), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(503)
		}, mostTries, mostTries * 10 * mostPause},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, x := play(t, tt.first, tt.then)
				begun := time.Now()
				err := f.ask(t, request(1, "x"))
				wantLine(t, "error", err, "broke while it worked on this; it may have been carried out")
				if _, ok := errors.AsType[*refusal](err); ok {
					t.Error("a refusal of the GET is told as one of the call")
				}
				if took := time.Since(begun); took > tt.within || tt.within == slowly && took < slowly/3 {
					t.Errorf("given up after %v", took)
				}
				var methods []string
				for _, r := range x.requests()[1:] {
					methods = append(methods, strings.Fields(r)[0])
				}
				wantList(t, "requests", methods, many(tt.gets)...)
			})
		})
	}
}

// TestCallGoesOnAsLongAsThereAreEvents holds that no number of resumptions is too
// many while each brings something, and that one that does is followed soon.
func TestCallGoesOnAsLongAsThereAreEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := []http.HandlerFunc{broken("id: 0\n" + alive)}
		for range mostTries {
			all = append(all, status(503), status(503), broken("id: 1\n"+alive))
		}
		f, _ := play(t, append(all, clean("data: "+result(1)+"\n\n"))...)
		begun := time.Now()
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		if took := time.Since(begun); took > mostTries*9*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestServerMaySayWhenToComeAgain holds that Retry-After is met.
func TestServerMaySayWhenToComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := play(t, clean("id: 1\nretry: 1000\ndata:\n\n"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(429)
		}, clean("data: "+result(1)+"\n\n"))
		begun := time.Now()
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		want(t, "time", time.Since(begun), 101*time.Second)
	})
}

// TestTriesFollowEachOtherMoreAndMoreSlowly holds the pace of what fails.
func TestTriesFollowEachOtherMoreAndMoreSlowly(t *testing.T) {
	t.Parallel()
	var p pace
	for _, step := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		for range 100 {
			if d := p.wait(); d < step*time.Second*8/10 || d > step*time.Second*12/10 {
				t.Fatalf("%v instead of about %d s", d, step)
			}
		}
		p.failed(0)
	}
	p.retry, p.said = 45*time.Second, true
	want(t, "the server's wish", p.wait(), 45*time.Second)
	p.failed(time.Hour)
	want(t, "too long a wish", p.wait(), 10*mostPause)
	p.failed(100 * time.Second)
	want(t, "Retry-After", p.wait(), 100*time.Second)
	p.well()
	want(t, "after a good one", p.wait(), 45*time.Second)
	p.retry = 0
	want(t, "at once", p.wait(), leastPause)
}

// TestAnswerOnTheOtherStreamEndsAResumption holds that a response counts
// wherever it comes.
func TestAnswerOnTheOtherStreamEndsAResumption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		posted := make(chan bool)
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == "POST":
				broken("id: 1\n"+alive)(w, r)
			case r.Header.Get("Last-Event-ID") != "":
				w.WriteHeader(503)
			default:
				say(w, ": here\n\n")
				<-posted
				say(w, "data: "+result(1)+"\n\n")
				<-r.Context().Done()
			}
		})
		listening := make(chan bool)
		ctx, stop := contextOf(t)
		go func() { f.s.listen(ctx); close(listening) }()
		go func() { time.Sleep(2 * time.Second); posted <- true }()
		wantLine(t, "error", f.ask(t, request(1, "x")), "")
		wantList(t, "said", f.said(), note, result(1))
		stop()
		<-listening
	})
}
