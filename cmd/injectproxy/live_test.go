package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestLiveRemembersTheLastRequestsAndThoseInFlight(t *testing.T) {
	t.Parallel()
	var l live
	var all []*record.Record
	for i := range mostEnded + mostShown + 30 {
		r := &record.Record{Start: time.Now(), Rule: "api", Method: "GET", Authority: "a:443", Path: fmt.Sprint("/", i)}
		l.began(r)
		all = append(all, r)
	}
	ended := all[:mostEnded+10]
	for _, r := range ended {
		r.Status, r.Answered, r.Fingerprint, r.Attempts = 200, r.Start.Add(time.Millisecond), "5f70bf18", 1
		l.answered(r)
		l.done(r)
	}
	flying, recent := l.requests()
	if len(recent) != mostEnded || recent[0].Path != ended[len(ended)-1].Path || recent[mostEnded-1].Path != "/10" {
		t.Errorf("%d ended, %s to %s", len(recent), recent[0].Path, recent[len(recent)-1].Path)
	}
	if q := recent[0]; q.State != "ended" || q.Status != 200 || q.Wait != 1 || q.Token != "5f70bf18" || q.Attempts != 1 {
		t.Errorf("%+v", q)
	}
	if len(flying) != mostShown || flying[0].Path != all[len(all)-1].Path || flying[0].State != "waiting" {
		t.Errorf("%d in flight, first %+v", len(flying), flying[0])
	}
	stream := all[len(all)-1]
	stream.Stream = true
	l.answered(stream)
	closed := l.tunnel()
	l.tunnel()
	closed()
	if got := l.traffic(); got != (traffic{mostShown + 20, 1, tunnelTally{1, 2}, 0}) {
		t.Errorf("%+v", got)
	}
	l.answered(new(record.Record)) // that nobody has told of
	l.done(new(record.Record))
	if _, again := l.requests(); again[0].ID != recent[0].ID {
		t.Errorf("%+v", again[0])
	}
}

func TestLongPathsAreShortenedBetweenLetters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{{"", ""}, {"abc", "abc"}, {"abcd", "abcd"}, {"abcde", "abcd…"}, {"abc日本", "abc…"}, {"日本", "日…"}, {"\x80\x80\x80\x80\x80", "…"}} {
		if got := shortened(tt.in, 4); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
	var l live
	l.began(&record.Record{Method: strings.Repeat("M", 4000), Path: "/" + strings.Repeat("日", 4000)})
	flying, _ := l.requests()
	if q := flying[0]; len(q.Path) > mostPath+4 || !utf8.ValidString(q.Path) || len(q.Method) > 24 {
		t.Errorf("%d and %d bytes", len(q.Path), len(q.Method))
	}
}

func TestLiveKeepsTheLastEventsOfSessionsAndCountsAll(t *testing.T) {
	t.Parallel()
	var l live
	for i := range 3 * mostEvents {
		l.session(config.Rule{Name: "mcp", Team: "platform"}, session.Event{Kind: session.Lost, Session: fmt.Sprintf("%08x", i), Target: "t:443/mcp", Detail: "not found"})
	}
	l.session(config.Rule{Name: "mcp"}, session.Event{Kind: session.Healed, Target: "t:443/mcp", Took: 5 * time.Millisecond})
	events, counts := l.sessionEvents()
	if len(events) != mostEvents || events[0].Kind != "healed" || events[0].Took != 5 || events[1].Session != fmt.Sprintf("%08x", 3*mostEvents-1) || events[1].Team != "platform" {
		t.Errorf("%d: %+v", len(events), events[:2])
	}
	if counts["lost"] != 3*mostEvents || counts["healed"] != 1 {
		t.Errorf("%v", counts)
	}
}

func TestLiveIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var l live
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 300 {
				r := &record.Record{Start: time.Now(), Rule: "api"}
				l.began(r)
				r.Status = 200
				l.answered(r)
				l.done(r)
				l.tunnel()()
				l.session(config.Rule{}, session.Event{})
			}
		})
		all.Go(func() {
			for range 100 {
				l.requests()
				l.traffic()
				l.refusals(time.Now())
				l.sessionEvents()
			}
		})
	}
	all.Wait()
	if got := l.traffic(); got.InFlight != 0 || got.Tunnels != (tunnelTally{0, 1200}) {
		t.Errorf("%+v", got)
	}
}

// troubled is a report in which everything is wrong.
func troubled(now time.Time) (s statusReport, refused []deadEnd, events []liveSession) {
	s = statusReport{Now: now}
	s.Configuration = statusConfig{Broken: now, Why: "1 error", Problems: []problemJSON{{File: "f.toml", Line: 3, Level: "error", Message: "bad key", Hint: "drop it"}}, Restart: []string{"listen"}}
	s.TeamsOff = []statusTeam{{"platform", "platform.toml:2: bad"}}
	s.Rules = []statusRule{{Name: "fine"}, {Name: "mcp", Off: "outside of the CA"}}
	s.Tokens = []statusToken{{Audience: "fine", Fingerprint: "a"}, {Audience: "none", Trouble: "no session", Hint: "az login"}, {Audience: "old", Fingerprint: "b", Trouble: "down", Hint: "wait"}}
	s.Distrusted = []distrusted{{"api.example.test:443", now, 1}}
	for outcome := range refusalHints {
		refused = append(refused, deadEnd{"api", "api.example.test:443", outcome, now})
	}
	return s, refused, []liveSession{{At: now, Kind: "failed", Target: "t:443/mcp", Detail: "unreachable"}, {At: now, Kind: "suppressed", Target: "u:443/mcp"}}
}

func TestProblemsComeWithWhatToDo(t *testing.T) {
	t.Parallel()
	s, refused, events := troubled(time.Now())
	list := s.problems(refused, events)
	if len(list) != 3+1+1+2+len(refused)+2+1 {
		t.Errorf("%d problems: %+v", len(list), list)
	}
	b, err := json.Marshal(list)
	must(t, err)
	for _, want := range []string{"f.toml:3: bad key", "listen", "team platform is off", "rule mcp is off", "no token for none: no session", "az login", "old cannot be refreshed", "at t:443/mcp could not be put back: unreachable", "at u:443/mcp is left for a moment", "does not trust the CA"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in %s", want, b)
		}
	}
	for _, p := range list {
		if p.Text == "" || p.Hint == "" || p.About == "" || p.Level != "error" && p.Level != "warning" || strings.Contains(p.Text, "fine") {
			t.Errorf("%+v", p)
		}
	}
	if list := new(statusReport).problems(nil, nil); list == nil || len(list) != 0 {
		t.Errorf("where nothing is wrong: %+v", list)
	}
}

func TestProblemOfASessionIsOverOnceItsTargetWorks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	event := func(kind, target string, age time.Duration) liveSession {
		return liveSession{Kind: kind, Target: target, At: now.Add(-age)}
	}
	for name, tt := range map[string]struct {
		events []liveSession // the latest first
		want   int
	}{
		"nothing":         {nil, 0},
		"failed":          {[]liveSession{event("failed", "a", 1)}, 1},
		"suppressed":      {[]liveSession{event("suppressed", "a", 1), event("failed", "a", 2)}, 1},
		"healed since":    {[]liveSession{event("healed", "a", 1), event("failed", "a", 2)}, 0},
		"begun since":     {[]liveSession{event("accepted", "a", 1), event("failed", "a", 2)}, 0},
		"lost since":      {[]liveSession{event("lost", "a", 1), event("failed", "a", 2)}, 1},
		"ended since":     {[]liveSession{event("ended", "a", 1), event("failed", "a", 2)}, 1},
		"elsewhere":       {[]liveSession{event("healed", "b", 1), event("failed", "a", 2)}, 1},
		"two":             {[]liveSession{event("failed", "b", 1), event("failed", "a", 2)}, 2},
		"long ago":        {[]liveSession{event("failed", "a", newsFor)}, 0},
		"failed again":    {[]liveSession{event("failed", "a", 1), event("healed", "a", 2)}, 1},
		"dropped since":   {[]liveSession{event("dropped", "a", 1), event("failed", "a", 2)}, 1},
		"dropped, healed": {[]liveSession{event("dropped", "a", 1), event("healed", "a", 2), event("failed", "a", 3)}, 0},
	} {
		if got := unmended(tt.events, now); len(got) != tt.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRefusalIsNewsUntilItsRuleIsServed(t *testing.T) {
	t.Parallel()
	var l live
	at := func(rule, retry string, status int) {
		r := &record.Record{Rule: rule, Authority: "a:443", Retry: retry, Status: status}
		l.began(r)
		l.done(r)
	}
	count := func() int { return len(l.refusals(time.Now())) }
	at("one", "cooling down", 401)
	at("two", "same token", 401)
	at("", "same token", 401)
	at("three", "", 404)
	if count() != 2 {
		t.Errorf("%+v", l.refusals(time.Now()))
	}
	at("one", "", 404) // which says nothing of the token
	at("one", "", 0)
	if count() != 2 {
		t.Error("gone without an answer")
	}
	at("one", "", 200)
	at("two", "healed", 404)
	if count() != 0 {
		t.Errorf("%+v", l.refusals(time.Now()))
	}
	at("one", "refused again", 401)
	if len(l.refusals(time.Now().Add(newsFor))) != 0 {
		t.Error("it is news for ever")
	}
	for i := range 2 * maxRefusals {
		at(fmt.Sprint("rule", i), "same token", 401)
	}
	if count() != maxRefusals {
		t.Errorf("%d are remembered", count())
	}
}

// Of more refusals than are remembered the latest are: the others may be of rules
// that are gone.
func TestLatestRefusalsAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l live
		refuse := func(rule string) {
			time.Sleep(time.Millisecond)
			l.refused(&record.Record{Rule: rule, Retry: "same token", Status: 401})
		}
		refuse("old")
		refuse("older")
		for i := range maxRefusals - 2 {
			refuse(fmt.Sprint("rule", i))
		}
		refuse("old") // which is news again
		refuse("new")
		remembered := map[string]bool{}
		for _, r := range l.refusals(time.Now()) {
			remembered[r.rule] = true
		}
		if len(remembered) != maxRefusals || !remembered["new"] || !remembered["old"] || remembered["older"] {
			t.Errorf("%v", remembered)
		}
	})
}

func TestTokenIsDescribedWithItsTrouble(t *testing.T) {
	t.Parallel()
	got := describeToken(&config.Audience{Name: "a", Team: "t"}, token.Token{}, &token.Error{Hint: "az login", Message: "no session"})
	if got.Audience != "a" || got.Team != "t" || got.Fingerprint != "" || got.Hint != "az login" || !strings.Contains(got.Trouble, "no session") {
		t.Errorf("%+v", got)
	}
}

func BenchmarkLiveThatNobodyWatches(b *testing.B) {
	var l live
	r := &record.Record{Start: time.Now(), Rule: "mcp", Kind: "mcp", Method: "POST", Authority: "mcp.corp.example:443", Path: "/servers/kusto/mcp", Status: 200}
	b.ReportAllocs()
	for b.Loop() {
		l.began(r)
		l.answered(r)
		l.done(r)
	}
}
