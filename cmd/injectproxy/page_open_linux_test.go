package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The file that the browser is opened on leads it in, with a cookie that no other
// page can have it show.
func pageOpensByAFile(t *testing.T, browser context.Context) {
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	s := newScreen(t, "")
	ended := d.opens(s)
	url, _ := s.opened(t)
	tab := newTab(t, browser, desktop)
	visit(t, tab, url)
	become[bool](t, tab, isReady)
	if at := script[string](t, tab, `location.href + document.cookie`); at != "http://"+address+"/" {
		t.Errorf("the page is at %s", at)
	}
	if e := <-ended; e.status != 0 || !strings.Contains(e.out, "http://"+address+"/ is opened") {
		t.Errorf("exit status %d: %s", e.status, e.out)
	}
}

// A serve that was started again knows no cookies.
func pageSaysWhenItIsNotLetIn(t *testing.T, browser context.Context) {
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n")
	tab := newTab(t, browser, desktop)
	enter := func() string {
		t.Helper()
		out, _ := runToEnd(t, d.home, nil, "status", "--open")
		return entrance(t, out)
	}
	visit(t, tab, enter())
	become[bool](t, tab, isReady)
	d.signal(os.Interrupt)
	d.stopped()
	d = startDaemon(t, d.home, nil)
	become[bool](t, tab, `document.getElementById('refused').checkVisibility() && document.getElementById('refused').textContent.includes('injectproxy status --open')`)
	become[bool](t, tab, `document.getElementById('state').textContent === 'not connected'`)
	become[bool](t, tab, fmt.Sprintf(`fetch(%q).then(r => r.ok)`, strings.TrimPrefix(enter(), "http://"+address)))
	become[bool](t, tab, isReady+` && !document.getElementById('refused').checkVisibility()`)
}

// A browser has six connections to a host, for all of its tabs.
func pageLetsGoWhileNobodySeesIt(t *testing.T, browser context.Context) {
	w := newWatched(t, browser)
	hide := func(tab context.Context, hidden bool) {
		t.Helper()
		script[bool](t, tab, fmt.Sprintf(`Object.defineProperty(document, 'hidden', {configurable: true, value: %v}) && document.dispatchEvent(new Event('visibilitychange'))`, hidden))
	}
	hide(w.tab, true)
	for range 6 {
		tab, leave := chromedp.NewContext(w.tab) // of the same browser, with its connections
		t.Cleanup(leave)
		must(t, chromedp.Do(tab))
		visit(t, tab, w.page)
		become[bool](t, tab, isReady)
		hide(tab, true)
	}
	w.get("/v1/meanwhile").wantStatus(t, 200)
	if script[bool](t, w.tab, row("/v1/meanwhile")+` !== undefined`) {
		t.Error("it is told what nobody sees")
	}
	hide(w.tab, false)
	become[bool](t, w.tab, cell("/v1/meanwhile", "status", "200"))
	become[bool](t, w.tab, isReady)
}
