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
	goesOn := strings.Contains(body, `http-equiv="refresh" content="0; url=/"`) && strings.HasPrefix(h.Get("Content-Type"), "text/html")
	if (cookie != "") != (status == http.StatusOK) || goesOn != (status == http.StatusOK) || h.Get("Location") != "" {
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

// A ticket cannot be guessed, so that slowing down who tries would only let them
// keep others out.
func TestNobodyKeepsOthersOutByWrongTickets(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	path := ticket(t, addr)
	for i := range 100 {
		if status, _ := enter(t, addr, fmt.Sprintf("/enter?ticket=%026d", i)); status != 403 {
			t.Fatalf("guess %d: %d", i, status)
		}
	}
	if status, _ := enter(t, addr, path); status != 200 {
		t.Errorf("the right one behind wrong ones: %d", status)
	}
}

func TestWhoGivesATicketLearnsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	clock := new(wall)
	addr := start(t, new(atomic.Bool), clock.options())
	path := ticket(t, addr)
	fate := func(path string, header ...string) string {
		t.Helper()
		status, body := ask(t, "GET", addr, strings.Replace(path, "/enter", "/opened", 1), addr, header...)
		if status != 200 {
			return fmt.Sprint(status)
		}
		var got struct{ Ticket string }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		return got.Ticket
	}
	wants := func(want, path string) {
		t.Helper()
		if got := fate(path, "Authorization", "right"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	wants("waits", path)
	wants("waits", path)
	_, cookie := enter(t, addr, path)
	wants("used", path)
	for _, header := range [][]string{nil, {"Authorization", "wrong"}, {"Cookie", cookie}} {
		if got := fate(path, header...); got != "401" {
			t.Errorf("%q are told: %s", header, got)
		}
	}
	late := ticket(t, addr)
	clock.pass(ticketLife)
	for _, path := range []string{path, late, "/enter", "/enter?ticket=", "/enter?ticket=x"} {
		wants("void", path)
	}
}

// A file or a page may lead a whole tab to the entrance, with the ticket: the
// answer is a page that goes on by itself, for a redirect would still be the
// doing of who led there, and be asked for without the cookie.
func TestFileMayLeadABrowserInByTicketOnly(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool))
	led := func(path, mode, dest string) (int, string) {
		t.Helper()
		return enter(t, addr, path, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", dest)
	}
	path := ticket(t, addr)
	for _, how := range [][2]string{{"navigate", "iframe"}, {"navigate", "object"}, {"no-cors", "image"}, {"cors", "empty"}, {"navigate", ""}, {"", "document"}} {
		if status, _ := led(path, how[0], how[1]); status != 403 {
			t.Errorf("%v: %d", how, status)
		}
	}
	for _, other := range []string{"/", "/open", "/opened" + path[len("/enter"):], "/status.json", "/enter/", "/healthz"} {
		status, _ := ask(t, "GET", addr, other, addr, "Authorization", "right", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
		if status != 403 {
			t.Errorf("%s: %d", other, status)
		}
	}
	if status, _ := led("/enter?ticket=x", "navigate", "document"); status != 403 {
		t.Errorf("a wrong ticket: %d", status)
	}
	if status, cookie := led(path, "navigate", "document"); status != 200 || !looks(t, addr, cookie) {
		t.Errorf("the ticket: %d", status)
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
	if status, _ := enter(t, addr, "/enter?ticket="+unused); status != 200 {
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
	if status, _ := enter(t, addr, path); status != 200 {
		t.Errorf("the ticket is gone: %d", status)
	}
}

// What a browser asks a person for it keeps, and shows to whoever has this port
// next. By a network address it does not say that it is one.
func TestBrowserIsNotAskedForTheCredential(t *testing.T) {
	t.Parallel()
	addr := start(t, new(atomic.Bool), func(o *Options) { o.Prove = func(string) string { return "proof" } })
	for _, path := range []string{"/", "/page.js", "/events", "/status.json", "/open"} {
		status, h, body := askAll(t, "GET", addr, path, addr, "Sec-Fetch-Mode", "navigate", ChallengeField, strings.Repeat("a", minChallenge))
		if status != 403 || h.Get("WWW-Authenticate") != "" || h.Get(ProofField) != "" || !strings.Contains(body, "status --open") {
			t.Errorf("%s to a browser: %d %v %s", path, status, h, body)
		}
		status, h, body = askAll(t, "GET", addr, path, addr, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Upgrade-Insecure-Requests", "1")
		if scheme, _, _ := strings.Cut(h.Get("WWW-Authenticate"), " "); status != 401 || scheme != "Bearer" || !strings.Contains(body, "status --open") {
			t.Errorf("%s to a browser that does not say so: %d %v %s", path, status, h, body)
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
		entered := p.enter(query)
		r := &http.Request{Header: http.Header{"Cookie": {cookie}}}
		if entered != nil || p.has(r) {
			t.Errorf("%q, %q", query, cookie)
		}
	})
}
