package e2e_test

import (
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fileToken is a token in a file, and the lines of a configuration that has it.
func fileToken(t *testing.T) (token, file, lines string) {
	token, file = crand.Text(), filepath.Join(t.TempDir(), "token")
	writeFile(t, file, token)
	return token, file, fmt.Sprintf("token_file = %q", file)
}

// newBridged starts a faulty server and a bridge to it, with a token in a file.
func newBridged(t *testing.T, flags ...string) (*faulty, *bridged) {
	t.Helper()
	return newBridgedOver(t, http2too, flags...)
}

func newBridgedOver(t *testing.T, protocols []string, flags ...string) (*faulty, *bridged) {
	t.Helper()
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, protocols)
	return f, f.bridge(bridging{token: lines, flags: flags, hidden: []string{token}})
}

// TestStdioCallsGoOnInANewSessionOfTheServer: the server has forgotten the
// session, and says so with either of the two statuses. Calls that are refused
// for it are carried out in another, once each, and begin but one.
func TestStdioCallsGoOnInANewSessionOfTheServer(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusBadRequest} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			f, b := newBridged(t)
			f.unknown = status
			b.initialize()
			b.ask("before")
			f.forget()
			ids := []string{"after-1", "after-2", "after-3", "after-4", "after-5"}
			for _, id := range ids {
				b.send(toolLine(id, "echo"))
			}
			for _, id := range ids {
				b.wantEcho(id)
				if n := f.times(id); n != 1 {
					t.Errorf("call %s was carried out %d times", id, n)
				}
			}
			if n := len(f.all("initialize")); n != 2 {
				t.Errorf("%d sessions began, want the first and one more", n)
			}
		})
	}
}

// TestStdioLargeCallIsHealedToo: what a proxy would not hold to send it again,
// the bridge holds in any case.
func TestStdioLargeCallIsHealedToo(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	b.initialize()
	b.ask("before")
	f.forget()
	filler := strings.Repeat("x", 9<<20) // retry.body_limit is 8 MiB
	b.send(`{"jsonrpc":"2.0","id":"after","method":"tools/call","params":{"name":"echo","arguments":{"key":"after","text":"to after","filler":"` + filler + `"}}}`)
	if m := b.await(`"after"`); m.Error != nil || !strings.Contains(string(m.Result), filler) {
		t.Fatalf("result %.200q, error %+v", m.Result, m.Error)
	}
	if n := f.times("after"); n != 1 {
		t.Errorf("the call was carried out %d times", n)
	}
}

// TestStdioCallInFlightIsCarriedOutOnce: the session, the connection or the
// server is lost under a call that is being carried out. It is answered by an
// error, not made again, and the calls after it succeed.
func TestStdioCallInFlightIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, tool string
		loss       func(*faulty)
	}{
		{"the session", "hang", (*faulty).forget},
		{"the server", "hang", func(f *faulty) { f.restart(func() {}) }},
		{"the connection", "hang", func(f *faulty) { f.door.shut(true); f.door.shut(false) }},
		{"the stream of the answer", "cut", func(*faulty) {}},
		{"the server, whose events have ids", "numbered", func(f *faulty) { f.restart(func() {}) }},
		{"the session, whose events have ids", "numbered", (*faulty).forget},
		{"the stream of progress", "steps", func(f *faulty) { f.restart(func() {}) }},
	} {
		for _, protocols := range [][]string{http1only, http2too} {
			t.Run(tt.name+" over "+protocols[0], func(t *testing.T) {
				t.Parallel()
				f, b := newBridgedOver(t, protocols)
				b.initialize()
				b.ask("before")
				b.send(toolLine("under way", tt.tool))
				f.until("the call is under way", func() bool { return f.executed["under way"] > 0 })
				tt.loss(f)
				b.wantError("under way")
				b.ask("after")
				if n := f.times("under way"); n != 1 {
					t.Errorf("the call was carried out %d times", n)
				}
			})
		}
	}
}

// TestStdioTokenRevokedInTheSession: the token that a session began with is
// refused. Calls carry the next one, from wherever it comes, in that session.
func TestStdioTokenRevokedInTheSession(t *testing.T) {
	t.Parallel()
	for _, from := range []string{`token_file = %q`, `token_command = ["cat", %q]`} {
		t.Run(strings.Fields(from)[0], func(t *testing.T) {
			t.Parallel()
			token, file, _ := fileToken(t)
			next := crand.Text()
			f := newFaulty(t, token, http2too)
			b := f.bridge(bridging{token: fmt.Sprintf(from, file), hidden: []string{token, next}})
			b.initialize()
			b.ask("with the first token")
			writeFile(t, file, next)
			f.accept(next)
			for n := range 5 {
				b.send(toolLine(fmt.Sprint("with the next token ", n), "echo"))
			}
			for n := range 5 {
				b.wantEcho(fmt.Sprint("with the next token ", n))
			}
			wantOneSession(t, f)
			calls := f.all("tools/call")
			if last := calls[len(calls)-1]; last.bearer != next || last.status != http.StatusOK {
				t.Errorf("the last call came with the token %q (%d), want the next one", last.bearer, last.status)
			}
		})
	}
}

// wantOneSession wants every call to have come in the only session that began.
func wantOneSession(t *testing.T, f *faulty) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	began := f.of("initialize")
	if len(began) != 1 {
		t.Fatalf("%d sessions began, want one", len(began))
	}
	for _, v := range f.of("tools/call") {
		if v.session != began[0].session {
			t.Errorf("call %s came in session %q, want %q", v.id, v.session, began[0].session)
		}
	}
}

// TestStdioServerThatIsAwayForAMoment: calls that meet a 503 are answered by an
// error that says so, and not carried out. Those before and after succeed.
func TestStdioServerThatIsAwayForAMoment(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	b.initialize()
	b.ask("before")
	f.change(func() { f.away = 1 })
	b.send(toolLine("meanwhile", "echo"))
	if line := b.wantError("meanwhile"); !strings.Contains(line, "503") {
		t.Errorf("the error says %q, and nothing of a 503", line)
	}
	b.ask("after")
	if n := f.times("meanwhile"); n != 0 {
		t.Errorf("the call was carried out %d times", n)
	}
	wantOneSession(t, f)
}

// TestStdioNotificationsArriveAfterARestart: the server dies with the session
// and the stream of its own messages, calls that are made meanwhile fail, and it
// comes back. What it says of its own accord arrives, though the client does
// nothing for it.
func TestStdioNotificationsArriveAfterARestart(t *testing.T) {
	t.Parallel()
	const news = "notifications/resources/list_changed"
	f, b := newBridged(t)
	listens := func() bool {
		for _, v := range f.of("GET") {
			if v.status == http.StatusOK && f.sessions[v.session] != nil {
				return true
			}
		}
		return false
	}
	b.initialize()
	f.until("the bridge listens", listens)
	f.say(news)
	b.until("the news arrive", func() bool { return b.told(news) == 1 })
	f.restart(func() {
		b.send(toolLine("meanwhile", "echo"))
		b.wantError("meanwhile")
	})
	f.until("the bridge listens again", listens)
	f.say(news)
	b.until("the news arrive again", func() bool { return b.told(news) == 2 })
	b.ask("after")
	if n := f.times("meanwhile"); n != 0 {
		t.Errorf("the call that failed was carried out %d times", n)
	}
}

// TestStdioFirstCallsShareASession: a client that does not wait for the answer
// to initialize has one session all the same.
func TestStdioFirstCallsShareASession(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	lines := []string{initializeLine, initializedLine}
	for n := range 5 {
		lines = append(lines, toolLine(fmt.Sprint(n), "echo"))
	}
	b.send(lines...)
	for n := range 5 {
		b.wantEcho(fmt.Sprint(n))
	}
	wantOneSession(t, f)
	came := f.came()
	if came[0].method != "initialize" || came[1].method != "notifications/initialized" || came[1].session != came[0].session {
		t.Errorf("%+v came first", came[:2])
	}
}

// TestStdioBadTokenIsSaid: a server that refuses every token is asked for
// nothing else, least of all in another transport, and the error says what to
// do.
func TestStdioBadTokenIsSaid(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	f.accept("another one")
	b.send(initializeLine)
	for _, id := range []string{"first", "a call"} {
		line := b.wantError(id)
		var problem struct{ Hint string }
		json.Unmarshal(b.await(`"`+id+`"`).Error.Data, &problem)
		if problem.Hint == "" || !strings.Contains(line, problem.Hint) {
			t.Errorf("%s: %q does not say the hint %q", id, line, problem.Hint)
		}
		if id == "first" {
			b.send(toolLine("a call", "echo"))
		}
	}
	for _, v := range f.came() {
		if v.method != "initialize" && v.method != "tools/call" || v.status != http.StatusUnauthorized {
			t.Errorf("%s came and was answered %d", v.method, v.status)
		}
	}
}

// TestStdioStorm: sessions are forgotten, tokens revoked, connections cut and
// calls refused while others are under way, in any order. Each call is answered
// once and carried out at most once, and those that succeed were carried out.
func TestStdioStorm(t *testing.T) {
	thorough(t)
	t.Parallel()
	const rounds, calls = 150, 6
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	token, file, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	b := f.bridge(bridging{token: lines, more: "[session]\ncooldown = \"10ms\"", hidden: []string{token}})
	b.initialize()
	faults := []func(){
		f.forget,
		func() { f.change(func() { f.unknown = http.StatusBadRequest }); f.forget() },
		func() { f.change(func() { f.unknown = http.StatusNotFound }); f.forget() },
		func() { next := crand.Text(); writeFile(t, file, next); f.accept(next) },
		func() { f.change(func() { f.away = 1 + dice.IntN(3) }) },
		func() { f.restart(func() {}) },
		func() { f.door.shut(true); f.door.shut(false) },
	}
	succeeded := 0
	for round := range rounds {
		var ids []string
		for n := range calls {
			id := fmt.Sprintf("%d-%d", round, n)
			ids = append(ids, id)
			b.send(toolLine(id, []string{"echo", "echo", "cut"}[dice.IntN(3)]))
			if dice.IntN(2) == 0 {
				faults[dice.IntN(len(faults))]()
			}
		}
		for _, id := range ids {
			m := b.await(`"` + id + `"`)
			if n := f.times(id); n > 1 || m.Error == nil && n != 1 {
				t.Errorf("call %s was carried out %d times, and its error is %+v", id, n, m.Error)
			}
			if m.Error == nil {
				succeeded++
			}
		}
	}
	if succeeded == 0 {
		t.Error("no call succeeded")
	}
	t.Logf("%d of %d calls succeeded in %d sessions", succeeded, rounds*calls, len(f.all("initialize")))
	f.change(func() { f.away = 0 })
	// A session that could not be replaced is left alone for a while.
	again, late := time.NewTicker(100*time.Millisecond), time.After(guardTime)
	defer again.Stop()
	for n := 0; ; n++ {
		id := fmt.Sprint("after the storm ", n)
		b.send(toolLine(id, "echo"))
		m := b.await(`"` + id + `"`)
		if m.Error == nil {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("calls do not succeed any more: %+v", m.Error)
		}
	}
}
