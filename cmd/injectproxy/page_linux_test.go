package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// watched is a serve whose page is open in a browser: a rule for an API that
// answers when it may, and one for an MCP server that can forget.
type watched struct {
	*daemon
	tab     context.Context
	page    string
	may     chan struct{} // takes a value for each request for /v1/slow
	api     *http.Client
	servers *demoSessions
}

func newWatched(t *testing.T, browser context.Context) *watched {
	t.Helper()
	w := &watched{may: make(chan struct{}), servers: newDemoSessions()}
	o := newOrigin(t, "h2", func(rw http.ResponseWriter, s sighting) {
		switch {
		case strings.HasPrefix(s.target, "/v1/slow"):
			<-w.may
		case strings.HasPrefix(s.target, "/v1/missing"):
			rw.WriteHeader(http.StatusNotFound)
		}
	}, "api.example.test")
	servers := newLive(t, "h2", func(rw http.ResponseWriter, r *http.Request) { w.servers.serve(rw, r, "somebody") })
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority, "live.example.test:443": strings.TrimPrefix(servers, "https://")})
	home := t.TempDir()
	settings{
		top: fmt.Sprintf("upstream_proxy = %q", board.url(nil)),
		tables: "[admin]\nlisten = \"127.0.0.1:" + freePort(t) + "\"\n[audience.a]\ntoken_command = [\"echo\", '{\"token\": \"" + tokenA + "\", \"expires_in\": 3600}']\n" +
			rule("https://api.example.test/v1/", `name = "api"`) + mcpRule("https://live.example.test/mcp", `name = "agents"`),
	}.write(t, home)
	w.daemon = startDaemon(t, home, nil)
	w.page = regexp.MustCompile(`page=(\S+)`).FindStringSubmatch(w.log.wait(t, "msg=status"))[1]
	w.api = w.client("h2", nil)
	w.tab = newTab(t, browser, desktop)
	visit(t, w.tab, w.page)
	become[bool](t, w.tab, isReady)
	return w
}

const isReady = `document.getElementById('state')?.textContent === 'ready'`

// row is an expression for the row of a request to path.
func row(path string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('tbody tr')].find(r => r.querySelector('.path').textContent === %q)`, path)
}

// cell is an expression for the text of a cell of it once that is want.
func cell(path, name, want string) string {
	return fmt.Sprintf(`%s?.querySelector('td.%s').textContent === %q`, row(path), name, want)
}

func (w *watched) get(path string) reply {
	w.t.Helper()
	return call(w.t, w.api, "GET", "https://api.example.test"+path, nil)
}

// TestStatusPage holds what the page of a real serve does in a real browser. All
// share the browser, which takes longer to start than they take.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	thorough(t)
	browser := newBrowser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"shows requests as they happen":     pageShowsRequestsAsTheyHappen,
		"counts down":                       pageCountsDown,
		"shows a recovery":                  pageShowsARecovery,
		"is not marked up by what it shows": pageIsNotMarkedUpByWhatItShows,
		"is used by keyboard":               pageIsUsedByKeyboard,
		"comes back with its serve":         pageComesBackWithItsServe,
		"opens by ticket":                   pageOpensByTicketInABrowser,
		"opens by a file":                   pageOpensByAFile,
		"says when it is not let in":        pageSaysWhenItIsNotLetIn,
		"lets go while nobody sees it":      pageLetsGoWhileNobodySeesIt,
		"shows what a gate denies":          pageShowsWhatAGateDenies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, browser)
		})
	}
}

// A request is in the page as soon as it has begun, and not when the page next
// asks: only "request" events and the beginning of /events tell of requests.
func pageShowsRequestsAsTheyHappen(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	w.get("/v1/first?secret=query").wantStatus(t, 200)
	become[bool](t, w.tab, cell("/v1/first", "status", "200"))
	late := script[float64](t, w.tab, row("/v1/first")+`.dataset.shown - `+row("/v1/first")+`.dataset.began`)
	t.Logf("the page shows a request %.0f ms after it began", late)
	if late > 10_000 { // ten times the promise: machines are busy
		t.Errorf("it took %.0f ms", late)
	}
	for name, want := range map[string]string{"rule-name": "api", "sent": "1×", "note": ""} {
		become[bool](t, w.tab, cell("/v1/first", name, want))
	}
	if token := script[string](t, w.tab, row("/v1/first")+`.querySelector('.token').textContent`); !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(token) {
		t.Errorf("token %q", token)
	}

	answered := make(chan reply, 1)
	go func() {
		r, _ := trySend(w.api, newGet(t, "https://api.example.test/v1/slow"))
		answered <- r
	}()
	become[bool](t, w.tab, cell("/v1/slow", "status", "waiting"))
	become[bool](t, w.tab, row("/v1/slow")+`?.parentNode.id === 'open'`) // once it takes long
	w.may <- struct{}{}
	if r := <-answered; r.status != 200 {
		t.Errorf("status %d", r.status)
	}
	become[bool](t, w.tab, cell("/v1/slow", "status", "200")+` && `+row("/v1/slow")+`.parentNode.id === 'ended'`)

	w.get("/v1/missing").wantStatus(t, 404)
	become[bool](t, w.tab, row("/v1/missing")+`?.dataset.tone === 'warn'`)
	become[bool](t, w.tab, `document.querySelector('#tiles').textContent.includes('Requests3')`)
	become[bool](t, w.tab, `document.querySelector('#rules').textContent.includes('3 in all, 1 failed')`)
	if all := script[string](t, w.tab, `document.documentElement.outerHTML`); strings.Contains(all, tokenA) || strings.Contains(all, "secret") {
		t.Error("the page has a token or a query")
	}
}

func pageCountsDown(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	become[bool](t, w.tab, `document.querySelector('#tokens .left')?.textContent === 'none'`)
	w.get("/v1/x").wantStatus(t, 200)
	read := func(expression string) int {
		t.Helper()
		minutes, seconds, ok := strings.Cut(become[string](t, w.tab, expression), ":")
		m, err := strconv.Atoi(minutes)
		s, failed := strconv.Atoi(seconds)
		if err != nil || failed != nil || !ok {
			t.Fatalf("%q:%q", minutes, seconds)
		}
		return 60*m + s
	}
	const left = `document.querySelector('#tokens .left').textContent`
	first := read(`/^\d+:\d\d$/.test(` + left + `) && ` + left)
	next := read(fmt.Sprintf(`%s !== '%d:%02d' && %s`, left, first/60, first%60, left))
	if first > 3600 || first < 3600-60 || next >= first || next < first-60 {
		t.Errorf("%d s left, then %d", first, next)
	}
}

func pageShowsARecovery(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	agent, err := connectAgent(t.Context(), w.api, "https://live.example.test/mcp")
	must(t, err)
	become[bool](t, w.tab, `document.querySelector('#sessions .name')?.textContent === 'live.example.test:443/mcp'`)
	w.servers.forget()
	status, _, err := agent.whoami(t.Context())
	if err != nil || status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	for _, kind := range []string{"accepted", "lost", "healed", "replayed"} {
		become[bool](t, w.tab, `[...document.querySelectorAll('#events b')].some(b => b.textContent === '`+kind+`')`)
	}
	become[bool](t, w.tab, `document.querySelector('#sessions .count').textContent === 'healed 1×'`)
	become[bool](t, w.tab, `[...document.querySelectorAll('td.note')].some(n => n.textContent === 'session healed')`)
	if all := script[string](t, w.tab, `document.documentElement.outerHTML`); strings.Contains(all, agent.session) {
		t.Error("the page has the id of a session")
	}
	s := w.reported()
	if len(s.Sessions) != 1 || s.Traffic.Sessions != 1 || s.Sessions[0].Recoveries != 1 || s.SessionCounts["healed"] != 1 {
		t.Errorf("%+v %v", s.Sessions, s.SessionCounts)
	}
	text, _ := runToEnd(t, w.home, nil, "status")
	for _, want := range []string{s.Sessions[0].Session, "live.example.test:443/mcp", "healed 1", w.page} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
}

// raw sends the first line of a request as it is, inside of a tunnel.
func (w *watched) raw(line string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	must(w.t, err)
	defer conn.Close()
	io.WriteString(conn, connectTo("api.example.test:443"))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
	must(w.t, err)
	res.Body.Close()
	pool := x509.NewCertPool()
	pool.AddCert(w.root())
	tc := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "api.example.test"})
	io.WriteString(tc, line+" HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n")
	_, err = io.Copy(io.Discard, tc)
	must(w.t, err)
}

func pageIsNotMarkedUpByWhatItShows(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	for path, shown := range map[string]string{
		`/v1/<img/src=x/onerror=document.title='owned'>`:     "",
		`/v1/</span><script>document.title='owned'</script>`: "",
		`/v1/&lt;b&gt;&#x202e;`:                              "",
		"/v1/a\u202etxt.exe":                                 `/v1/a\u{202e}txt.exe`,
		"/v1/\u0085\u009b31m\u200b\u2066":                    `/v1/\u{85}\u{9b}31m\u{200b}\u{2066}`,
		"/v1/\u05d0\u05d1\u05d2/1":                           "",
	} {
		if shown == "" {
			shown = path
		}
		w.raw("GET " + path)
		become[bool](t, w.tab, row(shown)+` !== undefined`)
		if n := script[int](t, w.tab, row(shown)+`.querySelector('.path').children.length`); n != 0 {
			t.Errorf("%s: became %d elements", path, n)
		}
	}
	w.raw(`<B>BOLD</B> /v1/method`) // which net/http refuses
	if s := script[string](t, w.tab, `document.title + document.querySelectorAll('tbody img, tbody script, tbody b').length`); s != "injectproxy0" {
		t.Errorf("title and elements: %q", s)
	}
	if s := script[string](t, w.tab, `getComputedStyle(`+row("/v1/\u05d0\u05d1\u05d2/1")+`.querySelector('.path')).unicodeBidi`); s != "isolate-override" {
		t.Errorf("letters from right to left may change places with others: %s", s)
	}
}

func pageIsUsedByKeyboard(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	for _, path := range []string{"/v1/apple", "/v1/pear", "/v1/missing"} {
		w.get(path)
		become[bool](t, w.tab, row(path)+` !== undefined`)
	}
	press(t, w.tab, kb.Tab)
	if s := script[string](t, w.tab, `document.activeElement.className`); s != "skip" {
		t.Errorf("the first stop is %q", s)
	}
	press(t, w.tab, kb.Enter+kb.Tab)
	if s := become[string](t, w.tab, `document.activeElement.id`); s != "filter" {
		t.Errorf("behind the skip link is %q", s)
	}
	visible := `[...document.querySelectorAll('tbody tr')].filter(r => r.checkVisibility()).map(r => r.querySelector('.path').textContent).sort().join()`
	wants := func(want string) {
		t.Helper()
		become[bool](t, w.tab, visible+` === '`+want+`'`)
	}
	press(t, w.tab, "API pea")
	wants("/v1/pear")
	press(t, w.tab, "x")
	wants("")
	become[bool](t, w.tab, `document.getElementById('no-requests').textContent === 'No request matches.' && document.getElementById('no-requests').checkVisibility()`)
	press(t, w.tab, kb.Escape)
	wants("/v1/apple,/v1/missing,/v1/pear")
	press(t, w.tab, kb.Tab+"f")
	wants("/v1/missing")
	press(t, w.tab, kb.Home)
	press(t, w.tab, kb.Tab+" ")
	become[bool](t, w.tab, `document.activeElement.id === 'pause' && document.activeElement.getAttribute('aria-pressed') === 'true'`)
	w.get("/v1/held").wantStatus(t, 200)
	become[bool](t, w.tab, `document.getElementById('pause').textContent === 'Resume (1 new)'`)
	wants("/v1/apple,/v1/missing,/v1/pear")
	press(t, w.tab, " ")
	wants("/v1/apple,/v1/held,/v1/missing,/v1/pear")
}

// The page says that it is not connected, and comes back by itself.
func pageComesBackWithItsServe(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	w.get("/v1/before").wantStatus(t, 200)
	become[bool](t, w.tab, row("/v1/before")+` !== undefined`)
	w.signal(os.Interrupt)
	if status := w.stopped(); status != 0 {
		t.Errorf("exit status %d with a page open", status)
	}
	become[bool](t, w.tab, `document.getElementById('state').textContent === 'not connected'`)
	w.daemon = startDaemon(t, w.home, nil)
	become[bool](t, w.tab, isReady)
	w.api = w.client("h2", nil)
	w.get("/v1/after").wantStatus(t, 200)
	become[bool](t, w.tab, cell("/v1/after", "status", "200"))
}

// Where the system does not tell whose the browser is, it brings a ticket.
func pageOpensByTicketInABrowser(t *testing.T, browser context.Context) {
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	out, _ := runToEnd(t, d.home, nil, "status", "--open")
	tab := newTab(t, browser, desktop)
	visit(t, tab, "http://"+address+"/")
	if s := script[string](t, tab, `document.body.textContent`); !strings.Contains(s, "status --open") {
		t.Errorf("without a ticket: %q", s)
	}
	visit(t, tab, entrance(t, out))
	become[bool](t, tab, isReady)
	if s := script[string](t, tab, `location.href + document.cookie`); s != "http://"+address+"/" {
		t.Errorf("the page is at %s", s)
	}
	visit(t, tab, "http://"+address+"/")
	become[bool](t, tab, isReady)
}
