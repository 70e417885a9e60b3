package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSystemdHearsThatAGateIsReadyAndThatItStops(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, "")
	name, next := notifySocket(t)
	d := spawn(t, w.home, command(t, t.Context(), w.home, []string{"NOTIFY_SOCKET=" + name}, "gate"))
	told := next()
	address, ok := strings.CutPrefix(told[1], "STATUS=listening on ")
	if told[0] != "READY=1" || !ok {
		t.Errorf("systemd is told %q", told)
	}
	call(t, w.client(address), "GET", gateURL+"/healthz", nil).wantStatus(t, http.StatusOK)
	d.signal(syscall.SIGTERM)
	if told := next(); told[0] != "STOPPING=1" || !slices.Contains(told, "EXTEND_TIMEOUT_USEC=10000000") {
		t.Errorf("systemd is told %q", told)
	}
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}

// The page of a gate shows its keys and what it denied, and what a client calls
// a tool is no markup.
func pageShowsWhatAGateDenies(t *testing.T, browser context.Context) {
	w := newBehalfRoute(t, "drain = \"0s\"\n[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", "", bySecret)
	d := w.start()
	w.ready(d.addr)
	page := gatePage(t, d)
	tab := newTab(t, browser, desktop)
	visit(t, tab, page)
	become[bool](t, tab, isReady)
	become[bool](t, tab, `!document.getElementById('gate').hidden && document.getElementById('proxy').hidden`)
	become[bool](t, tab, `document.querySelector('#keys .name')?.textContent === '`+testTenant+`' && document.querySelector('#keys .count').textContent === '1 key'`)
	become[bool](t, tab, `document.querySelector('#rules .name')?.textContent === '/mcp' && document.getElementById('rules-title').textContent === 'Routes'`)
	c := w.client(d.addr)
	token := w.user("access_as_user")
	s := connectGate(t, bearing(c, token))
	says(t, s, "echo")
	become[bool](t, tab, `document.querySelector('#exchanges .name')?.textContent === '/mcp: ok' && document.querySelector('#exchanges .sub').textContent.includes('`+graphAPI+`/User.Read')`)
	const hostile = `<img src=x onerror=alert(1)>`
	call(t, bearing(c, token), "POST", gateURL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+hostile+`"}}`), "Content-Type", "application/json")
	become[bool](t, tab, `[...document.querySelectorAll('td.note')].some(n => n.textContent.includes('tools/call echo') && n.textContent.includes('`+testUser+`'))`)
	become[bool](t, tab, `[...document.querySelectorAll('td.note')].some(n => n.textContent.includes('`+hostile+` · denied: '))`)
	become[bool](t, tab, `[...document.querySelectorAll('#denials .sub')].some(n => n.textContent.includes('`+hostile+`'))`)
	become[bool](t, tab, `document.querySelector('#tiles').textContent.includes('Denied1')`)
	if script[float64](t, tab, `document.querySelectorAll('main img').length`) != 0 {
		t.Error("a name has become markup")
	}
	all := script[string](t, tab, `document.documentElement.outerHTML`)
	if found := leaks(all, map[string]string{"token": token, "session": s.ID()}); found != nil {
		t.Errorf("the page has %q", found)
	}
	must(t, s.Close())
}

func TestGateServesTheSocketOfSystemd(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, "")
	socket := listenTCP(t, "127.0.0.1:0")
	d := spawn(t, w.home, handedOver(t, w.home, nil, []string{"gate"}, socket))
	d.log.wait(t, "level=WARN", "the socket that systemd handed over takes the place of listen", socket.Addr().String())
	d.listening()
	if d.addr != socket.Addr().String() {
		t.Errorf("it listens on %s", d.addr)
	}
	call(t, w.client(d.addr), "GET", gateURL+"/healthz", nil).wantStatus(t, http.StatusOK)
}
