package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wall is a clock that a test sets.
type wall struct{ ahead atomic.Int64 }

func (c *wall) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *wall) pass(d time.Duration)    { c.ahead.Add(int64(d)) }
func (c *wall) options() func(*Options) { return func(o *Options) { o.Now = c.now } }

// ticket returns the path that lets a browser in.
func ticket(t *testing.T, addr string) string {
	t.Helper()
	status, body := ask(t, "GET", addr, "/open", addr, "Authorization", "right")
	var got struct{ Path string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !strings.HasPrefix(got.Path, "/enter?ticket=") {
		t.Fatalf("%d %s", status, body)
	}
	return got.Path
}

// enter returns the cookie for a ticket, "" if it is not good.
func enter(t *testing.T, addr, path string, header ...string) (status int, cookie string) {
	t.Helper()
	status, h, body := askAll(t, "GET", addr, path, addr, header...)
	cookie, _, _ = strings.Cut(h.Get("Set-Cookie"), ";")
	if (cookie != "") != (status == http.StatusSeeOther) || status == http.StatusSeeOther && h.Get("Location") != "/" {
		t.Errorf("%d %v %s", status, h, body)
	}
	return status, cookie
}

// looks reports whether who shows the cookie is shown the status.
func looks(t *testing.T, addr, cookie string) bool {
	t.Helper()
	status, body := ask(t, "GET", addr, "/status.json", addr, "Cookie", cookie)
	if (status == 200) != strings.Contains(body, "shown") || status != 200 && status != 401 {
		t.Errorf("%d %s", status, body)
	}
	return status == 200
}

func TestTicketLetsABrowserInOnce(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	_, port, _ := net.SplitHostPort(addr)
	path := ticket(t, addr)
	_, h, _ := askAll(t, "GET", addr, path, addr, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate")
	set := h.Get("Set-Cookie")
	for _, want := range []string{"injectproxy-" + port + "=", "; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"} {
		if !strings.Contains(set, want) {
			t.Errorf("no %q in %q", want, set)
		}
	}
	if strings.Contains(set, "Domain") || strings.Contains(set, strings.TrimPrefix(path, "/enter?ticket=")) {
		t.Error(set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	for _, path := range []string{"/", "/page.css", "/page.js", "/status.json"} {
		if status, _ := ask(t, "GET", addr, path, addr, "Cookie", cookie); status != 200 {
			t.Errorf("%s with the cookie: %d", path, status)
		}
	}
	if status, again := enter(t, addr, path); status != 403 || again != "" {
		t.Errorf("a second time: %d", status)
	}
	if looks(t, addr, "") {
		t.Error("without the cookie")
	}
}

func TestTicketIsGoodForHalfAMinuteAndItsCookieForHalfADay(t *testing.T) {
	t.Parallel()
	clock := new(wall)
	addr := start(t, new(atomic.Bool), clock.options())
	late, early := ticket(t, addr), ""
	clock.pass(29 * time.Second)
	early = ticket(t, addr)
	clock.pass(time.Second)
	if status, _ := enter(t, addr, late); status != 403 {
		t.Errorf("after 30 s: %d", status)
	}
	clock.pass(28 * time.Second)
	_, cookie := enter(t, addr, early)
	clock.pass(12*time.Hour - time.Minute)
	if !looks(t, addr, cookie) {
		t.Error("the cookie is void too early")
	}
	clock.pass(time.Minute)
	if looks(t, addr, cookie) {
		t.Error("the cookie is good for ever")
	}
}

func TestWhoLooksIsBoundedAndTheLatestStay(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	var tickets, cookies []string
	for range maxTickets + 1 {
		tickets = append(tickets, ticket(t, addr))
	}
	if status, _ := enter(t, addr, tickets[0]); status != 403 {
		t.Errorf("the oldest of too many tickets: %d", status)
	}
	if _, cookie := enter(t, addr, tickets[1]); cookie == "" {
		t.Error("the next is void too")
	}
	for range maxCookies + 1 {
		_, cookie := enter(t, addr, ticket(t, addr))
		cookies = append(cookies, cookie)
	}
	if looks(t, addr, cookies[0]) || !looks(t, addr, cookies[1]) || !looks(t, addr, cookies[maxCookies]) {
		t.Error("other cookies than the oldest are void")
	}
}

func TestGuessedTicketsAreSlowedDown(t *testing.T) {
	t.Parallel()
	clock := new(wall)
	clock.pass(time.Hour)
	start0 := clock.now()
	addr := start(t, new(atomic.Bool), func(o *Options) { o.Now = func() time.Time { return start0.Add(time.Duration(clock.ahead.Load())) } })
	path := ticket(t, addr)
	for i := range guesses {
		if status, _ := enter(t, addr, fmt.Sprintf("/enter?ticket=%026d", i)); status != 403 {
			t.Fatalf("guess %d: %d", i, status)
		}
	}
	for _, p := range []string{"/enter?ticket=x", path} {
		if status, _ := enter(t, addr, p); status != 429 {
			t.Errorf("%s behind %d guesses: %d", p, guesses, status)
		}
	}
	clock.pass(time.Second)
	if status, _ := enter(t, addr, path); status != 303 {
		t.Errorf("a second later: %d", status)
	}
}

func TestWrongCookiesAndTicketsLetNobodyIn(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	unused := strings.TrimPrefix(ticket(t, addr), "/enter?ticket=")
	_, cookie := enter(t, addr, ticket(t, addr))
	name, value, _ := strings.Cut(cookie, "=")
	for what, c := range map[string]string{
		"another port's":      "injectproxy-1=" + value,
		"no port's":           "injectproxy=" + value,
		"another value":       name + "=" + strings.Repeat("A", len(value)),
		"a part":              name + "=" + value[:len(value)-1],
		"more":                name + "=" + value + "A",
		"none":                name + "=",
		"a ticket":            name + "=" + unused,
		"two":                 name + "=x; " + cookie,
		"the same twice":      cookie + "; " + cookie,
		"in another case":     strings.ToUpper(name) + "=" + value,
		"with the credential": "right=" + value,
	} {
		if looks(t, addr, c) {
			t.Errorf("%s lets in", what)
		}
	}
	for _, query := range []string{"", "?ticket=", "?ticket=" + value, "?Ticket=" + unused, "?ticket=" + unused + "&ticket=" + unused, "?ticket=%00", "?ticket=" + strings.ToLower(unused) + "x", "?" + unused} {
		if status, _ := enter(t, addr, "/enter"+query); status != 403 {
			t.Errorf("/enter%s: %d", query, status)
		}
	}
	if status, body := ask(t, "GET", addr, "/open", addr, "Cookie", cookie); status != 401 || strings.Contains(body, "ticket") {
		t.Errorf("a cookie buys a ticket: %d %s", status, body)
	}
	if !looks(t, addr, cookie) {
		t.Error("the right one does not let in")
	}
	if status, _ := enter(t, addr, "/enter?ticket="+unused); status != 303 {
		t.Errorf("the ticket was used up by what was refused: %d", status)
	}
}

// A refusal of what a web page can send must not use the ticket up either.
func TestWebPagesNeitherGetNorUseATicket(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	path := ticket(t, addr)
	_, cookie := enter(t, addr, ticket(t, addr))
	for _, tt := range []struct {
		method, host string
		header       []string
		want         int
	}{
		{"GET", addr, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"GET", addr, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"GET", strings.Replace(addr, "127.0.0.1", "evil.example", 1), nil, 403},
		{"GET", strings.Replace(addr, "127.0.0.1", "127.0.0.1.evil.example", 1), []string{"Sec-Fetch-Site", "same-origin"}, 403},
		{"POST", addr, nil, 405}, {"HEAD", addr, nil, 405}, {"OPTIONS", addr, []string{"Origin", "https://evil.example"}, 405},
	} {
		for _, p := range []string{"/open", path, "/", "/events", "/status.json"} {
			header := append([]string{"Authorization", "right", "Cookie", cookie}, tt.header...)
			status, h, body := askAll(t, tt.method, addr, p, tt.host, header...)
			if status != tt.want || h.Get("Set-Cookie") != "" || strings.Contains(body, "ticket") || strings.Contains(body, "shown") {
				t.Errorf("%+v %s: %d %v %s", tt, p, status, h, body)
			}
		}
	}
	if status, _ := enter(t, addr, path); status != 303 {
		t.Errorf("the ticket is gone: %d", status)
	}
}

// What a browser asks a person for it keeps, and shows to whoever has this port
// next.
func TestBrowserIsNotAskedForTheCredential(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool), func(o *Options) { o.Prove = func(string) string { return "proof" } })
	for _, path := range []string{"/", "/page.js", "/events", "/status.json", "/open"} {
		status, h, body := askAll(t, "GET", addr, path, addr, "Sec-Fetch-Mode", "navigate", ChallengeField, strings.Repeat("a", minChallenge))
		if status != 403 || h.Get("WWW-Authenticate") != "" || h.Get(ProofField) != "" || !strings.Contains(body, "status --open") {
			t.Errorf("%s to a browser: %d %v %s", path, status, h, body)
		}
		status, h, _ = askAll(t, "GET", addr, path, addr, ChallengeField, strings.Repeat("a", minChallenge))
		if status != 401 || h.Get("WWW-Authenticate") == "" || h.Get(ProofField) != "proof" {
			t.Errorf("%s to a program: %d %v", path, status, h)
		}
	}
}

func TestTicketsAndCookiesAreInNoLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
	t.Run("serve", func(t *testing.T) { // which ends the server
		addr := start(t, new(atomic.Bool), func(o *Options) { o.Log, o.ErrorLog = slog.New(h), log.New(&out, "", 0) })
		path := ticket(t, addr)
		_, cookie := enter(t, addr, path)
		enter(t, addr, path)
		looks(t, addr, cookie)
		ask(t, "GET", addr, path+"%zz", addr)
		ask(t, "BREW", addr, path, addr)
	})
	if out.Len() > 0 {
		t.Errorf("logged: %s", out.String())
	}
}

func FuzzNobodyEntersByGuessing(f *testing.F) {
	for _, s := range []string{"", "ticket=", "ticket=%00&ticket=", "ticket=A;b", "%zz", "injectproxy-8878=", "injectproxy-8878=\"\"", "a=b; injectproxy-8878=x"} {
		f.Add(s, s)
	}
	addr, _ := net.ResolveTCPAddr("tcp", "127.0.0.1:8878")
	f.Fuzz(func(t *testing.T, query, cookie string) {
		p := newPasses(addr, time.Now)
		p.ticket()
		_, known, _ := p.enter(query)
		r := &http.Request{Header: http.Header{"Cookie": {cookie}}}
		if known || p.has(r) {
			t.Errorf("%q, %q", query, cookie)
		}
	})
}
