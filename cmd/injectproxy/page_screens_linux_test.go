package main

import (
	"bytes"
	"cmp"
	picture "image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/injectproxy/injectproxy/internal/admin"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// screens are the pictures of docs/status-page.md.
var screens = map[string]screenOf{
	"status-light.png": {width: 1280, height: 1500, calm: true},
	"status-dark.png":  {width: 1280, height: 1500, dark: true, calm: true},
	"status-phone.png": {width: 390, height: 1500, mobile: true, calm: true},
}

// TestStatusPageLooksWell draws the page as it is on different screens.
func TestStatusPageLooksWell(t *testing.T) {
	t.Parallel()
	if os.Getenv("INJECTPROXY_UPDATE_SCREENSHOTS") == "" {
		thorough(t)
	}
	tab := newTab(t, newBrowser(t), desktop)
	visit(t, tab, "http://"+exhibit(t)+"/")
	become[bool](t, tab, `document.querySelectorAll('#ended tr').length > 10 && document.querySelector('#open tr') && document.getElementById('state').dataset.state === 'ready'`)
	for name, screen := range screens {
		screen.emulate(t, tab)
		b, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
		must(t, err)
		wantPicture(t, filepath.Join("..", "..", "docs", "images", name), b)
	}
	grounds := map[bool]string{}
	for _, dark := range []bool{false, true} {
		screenOf{width: 1280, height: 900, dark: dark, calm: true}.emulate(t, tab)
		for _, fault := range script[[]string](t, tab, faint) {
			t.Errorf("dark %v: %s", dark, fault)
		}
		grounds[dark] = script[string](t, tab, `getComputedStyle(document.documentElement).backgroundColor`)
	}
	if grounds[false] == grounds[true] || grounds[true] == "" {
		t.Errorf("dark and light are the same: %v", grounds)
	}
	for _, width := range []int64{320, 390, 700, 1000} {
		screenOf{width: width, height: 800, mobile: width < 700}.emulate(t, tab)
		if w := script[int64](t, tab, `document.documentElement.scrollWidth`); w > width {
			t.Errorf("on %d pixels it is %d wide", width, w)
		}
		for _, fault := range script[[]string](t, tab, cutOff) {
			t.Errorf("on %d pixels: %s", width, fault)
		}
	}
	for _, fault := range script[[]string](t, tab, nameless) {
		t.Error(fault)
	}
	for calm, want := range map[bool]string{false: "fresh", true: "none"} {
		screenOf{width: 1280, height: 900, calm: calm}.emulate(t, tab)
		if got := script[string](t, tab, `getComputedStyle(document.querySelector('tr.fresh td')).animationName`); got != want {
			t.Errorf("calm %v: moves as %q, want %q", calm, got, want)
		}
	}
}

// wantPicture holds that file is a picture like b, or makes it one.
func wantPicture(t *testing.T, file string, b []byte) {
	t.Helper()
	if os.Getenv("INJECTPROXY_UPDATE_SCREENSHOTS") != "" {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, small(t, b), 0o644))
	}
	kept, err := os.ReadFile(file)
	must(t, err)
	got, err := png.Decode(bytes.NewReader(b))
	must(t, err)
	want, err := png.Decode(bytes.NewReader(kept))
	must(t, err)
	if got.Bounds() != want.Bounds() || len(kept) > 150_000 {
		t.Errorf("the page is drawn in %v, %s is %v in %d bytes: run this test with INJECTPROXY_UPDATE_SCREENSHOTS=1", got.Bounds(), file, want.Bounds(), len(kept))
	}
}

// faint lists the texts whose contrast to their ground is below 4.5 (WCAG 2.2,
// success criterion 1.4.3).
const faint = `(() => {
  const parse = c => { const v = c.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v }
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]))
  const ground = e => { if (!e) return [255, 255, 255]; const c = parse(getComputedStyle(e).backgroundColor); return c[3] === 1 ? c.slice(0, 3) : over(c, ground(e.parentElement)) }
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
  const faults = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  let n, seen = 0
  while (n = texts.nextNode()) {
    const e = n.parentElement
    if (!n.data.trim() || !e.checkVisibility() || e.closest('.hidden, option, noscript, legend')) continue
    seen++
    const under = ground(e), [a, b] = [light(over(parse(getComputedStyle(e).color), under)), light(under)].sort((x, y) => y - x), contrast = (a + .05) / (b + .05)
    if (contrast < 4.5) faults.push(n.data.trim() + ': ' + contrast.toFixed(2))
  }
  return seen > 100 ? faults : ['only ' + seen + ' texts']
})()`

// cutOff lists what lies beyond the right edge.
const cutOff = `[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('.hidden, thead, legend, .skip, svg, input') && e.getBoundingClientRect().right > innerWidth + .5)
  .map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40)).slice(0, 5)`

// nameless lists what a screen reader has no name for, and other faults in what
// it is told.
const nameless = `(() => {
  const faults = [], all = s => [...document.querySelectorAll(s)], say = (e, why) => faults.push(e.outerHTML.slice(0, 80) + ': ' + why)
  for (const e of all('input, select, button')) if (!(e.labels?.[0] ?? e).textContent.trim()) say(e, 'no label')
  for (const e of all('svg:not([aria-hidden])')) if (!/over the last|nothing/.test(e.getAttribute('aria-label'))) say(e, 'no text for a picture')
  for (const e of all('meter')) if (!e.getAttribute('aria-label')) say(e, 'no label')
  for (const e of all('section')) if (!e.getAttribute('aria-label') && !document.getElementById(e.getAttribute('aria-labelledby'))?.textContent) say(e, 'no title')
  for (const e of all('th')) if (e.scope !== 'col') say(e, 'no scope')
  const ids = all('[id]').map(e => e.id)
  if (new Set(ids).size !== ids.length) faults.push('an id is there twice')
  if (!document.documentElement.lang || all('h1').length !== 1 || !document.querySelector('caption')) faults.push('no language, title or caption')
  if (document.getElementById('state').getAttribute('role') !== 'status') faults.push('the state is not announced')
  return faults
})()`

// small returns a picture in 256 colours, which are all that a page has but for
// the edges of its letters.
func small(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	must(t, err)
	uses := map[color.RGBA]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			uses[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	byUse := slices.SortedFunc(maps.Keys(uses), func(a, b color.RGBA) int { return cmp.Compare(uses[b], uses[a]) })
	var colours color.Palette
	for _, c := range byUse[:min(len(byUse), 256)] {
		colours = append(colours, c)
	}
	out := picture.NewPaletted(img.Bounds(), colours)
	draw.Draw(out, out.Bounds(), img, picture.Point{}, draw.Src)
	var buf bytes.Buffer
	must(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&buf, out))
	return buf.Bytes()
}

// exhibit serves the page of a serve that never was, in the middle of a
// working day.
func exhibit(t *testing.T) (address string) {
	t.Helper()
	now := time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)
	began := time.Now()
	status := func() fullReport { return exhibited(now.Add(time.Since(began))) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := admin.New(l.Addr(), admin.Options{
		Admit:  func(net.Conn) func([]string) error { return func([]string) error { return nil } },
		Ready:  func() bool { return true },
		Status: func() any { return status() }, Pulse: func() any { return status().statusReport },
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return l.Addr().String()
}

func exhibited(now time.Time) fullReport {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	start := time.Date(2026, 11, 20, 8, 3, 0, 0, time.UTC)
	r := fullReport{statusReport: statusReport{
		Version: "injectproxy v0.5.0", Listen: "127.0.0.1:8877", Started: start, Now: now, Ready: true,
		Configuration: statusConfig{File: "~/.config/injectproxy/config.toml", InUse: ago(47 * time.Minute), Changes: 2},
		Traffic:       traffic{InFlight: 3, Streams: 2, Tunnels: tunnelTally{Open: 5, Made: 212}, Sessions: 2},
		Rules: []statusRule{
			{Name: "mcp", Kind: "mcp", Prefixes: []string{"https://mcp.corp.example/servers/"}, Audience: "gateway", tally: tally{Requests: 4211, Failures: 12}},
			{Name: "models", Kind: "llm", Prefixes: []string{"https://models.corp.example/openai/"}, Audience: "models", tally: tally{Requests: 967, Failures: 31}},
			{Name: "reports", Team: "data", Kind: "share", Prefixes: []string{"https://share.corp.example/reports/"}, Audience: "share", tally: tally{Requests: 88}},
		},
		Forwarded: tally{Requests: 140},
		Tokens: []statusToken{
			{Audience: "gateway", Source: "az", Fingerprint: "5f70bf18", Expiry: now.Truncate(time.Hour).Add(81*time.Minute + 18*time.Second)},
			{Audience: "models", Source: "az", Fingerprint: "c4410e9a", Expiry: now.Truncate(time.Hour).Add(36*time.Minute + 41*time.Second)},
			{Audience: "share", Team: "data", Trouble: "az: no session for tenant 16b3c013", Hint: "az login --tenant 16b3c013-d300-468d-8c1d-000000000000"},
		},
		Sessions: []statusSession{
			{Session: "9b1d44c0", Target: "mcp.corp.example:443/servers/kusto/mcp", Version: "2025-11-25", Began: ago(98 * time.Minute), Used: ago(4 * time.Second), Recoveries: 2, Streams: 1},
			{Session: "03fa7e25", Target: "mcp.corp.example:443/servers/wiki/mcp", Version: "2025-06-18", Began: ago(12 * time.Minute), Used: ago(71 * time.Second), Streams: 1},
		},
		SessionCounts: map[string]int64{"accepted": 9, "lost": 3, "healed": 3, "replayed": 3},
		SessionEvents: []liveSession{
			{At: ago(6 * time.Minute), Kind: "replayed", Rule: "mcp", Session: "9b1d44c0", Target: "mcp.corp.example:443/servers/kusto/mcp"},
			{At: ago(6*time.Minute + time.Second), Kind: "healed", Rule: "mcp", Session: "9b1d44c0", Target: "mcp.corp.example:443/servers/kusto/mcp", Took: 184},
			{At: ago(6*time.Minute + 2*time.Second), Kind: "lost", Rule: "mcp", Session: "9b1d44c0", Target: "mcp.corp.example:443/servers/kusto/mcp", Detail: "not found"},
		},
	}}
	r.Problems = r.problems(nil, nil)
	r.InFlight, r.Recent = exhibitedRequests(now)
	r.Plots = exhibitedPlots(now)
	return r
}

// exhibitedRequests are plausible ones.
func exhibitedRequests(now time.Time) (flying, ended []liveRequest) {
	mcp := liveRequest{Rule: "mcp", Kind: "mcp", Method: "POST", Authority: "mcp.corp.example:443", Path: "/servers/kusto/mcp", Status: 200, Source: "az", Token: "5f70bf18", Attempts: 1}
	llm := liveRequest{Rule: "models", Kind: "llm", Method: "POST", Authority: "models.corp.example:443", Path: "/openai/v1/responses", Status: 200, Source: "az", Token: "c4410e9a", Attempts: 1}
	put := func(q liveRequest, since time.Duration, ms float64, change func(*liveRequest)) {
		q.ID, q.Start, q.State, q.Duration = int64(5406-len(flying)-len(ended)), now.Add(-since), "ended", ms
		if change != nil {
			change(&q)
		}
		if q.State == "ended" {
			ended = append(ended, q)
		} else {
			flying = append(flying, q)
		}
	}
	put(llm, 3*time.Second, 0, func(q *liveRequest) { q.State, q.Stream = "answering", true })
	put(mcp, 4*time.Second, 61, nil)
	put(mcp, 9*time.Second, 44, func(q *liveRequest) { q.Path = "/servers/wiki/mcp" })
	put(llm, 16*time.Second, 7420, func(q *liveRequest) { q.Stream = true })
	put(liveRequest{Method: "GET", Authority: "mcp.corp.example:443", Path: "/.well-known/oauth-protected-resource", Status: 404, Attempts: 1}, 20*time.Second, 12, nil)
	put(mcp, 22*time.Second, 1210, nil)
	put(liveRequest{Rule: "reports", Team: "data", Kind: "share", Method: "GET", Authority: "share.corp.example:443", Path: "/reports/2026/q4/cost%20by%20service.parquet", Status: 511, Problem: "A sign-in is needed"}, 31*time.Second, 3, nil)
	for i := range 8 {
		put(mcp, time.Duration(40+7*i)*time.Second, 38+17.3*float64(i*i%7), func(q *liveRequest) {
			if i == 2 {
				q.Attempts, q.Retry, q.Duration = 2, "healed", 912
			}
			if i == 4 {
				q.Status, q.Attempts = 503, 1
			}
			if i%3 == 0 {
				q.Path = "/servers/wiki/mcp"
			}
		})
		if i%3 == 1 {
			put(llm, time.Duration(43+7*i)*time.Second, 2200+1371*float64(i), func(q *liveRequest) { q.Stream = i == 4 })
		}
	}
	put(mcp, 6*time.Minute, 371, func(q *liveRequest) { q.Attempts, q.Session = 2, "healed" })
	put(mcp, 98*time.Minute, 0, func(q *liveRequest) { q.Method, q.State, q.Stream = "GET", "answering", true })
	put(mcp, 12*time.Minute, 0, func(q *liveRequest) {
		q.Method, q.State, q.Stream, q.Path = "GET", "answering", true, "/servers/wiki/mcp"
	})
	return flying, ended
}

// exhibitedPlots are those of a day that begins at eight.
func exhibitedPlots(now time.Time) telemetry.Plots {
	plot := func(step time.Duration, steps int) telemetry.Plot {
		p := telemetry.Plot{Step: step.Seconds(), Steps: steps, End: now.Truncate(step)}
		for n, rule := range []telemetry.Rule{{}, {Name: "mcp", Kind: "mcp"}, {Name: "models", Kind: "llm"}, {Team: "data", Name: "reports", Kind: "share"}} {
			rp := telemetry.RulePlot{Rule: rule}
			for i := range steps {
				x := float64(i)
				busy := []float64{.02, .9, .22, .05}[n] * (1 + .7*math.Sin(x/19) + .45*math.Sin(x/4.1+float64(n)) + .3*math.Sin(x*1.7))
				if n == 3 && i%9 > 2 || n == 0 && i%7 > 1 {
					busy = 0
				}
				failures, p50, p95 := 0.0, math.NaN(), math.NaN()
				if busy = max(0, busy); busy > .02 {
					p50 = []float64{14, 52, 2300, 38}[n] * (1 + .2*math.Sin(x/7) + .1*math.Sin(x*2.3))
					p95 = p50 * (2.2 + math.Sin(x/5.3))
				}
				if n == 2 && i > steps/2 && i < steps/2+steps/20 {
					failures = busy / 2
				}
				rp.Requests, rp.Failures = append(rp.Requests, telemetry.Reading(busy)), append(rp.Failures, telemetry.Reading(failures))
				rp.P50, rp.P95 = append(rp.P50, telemetry.Reading(p50)), append(rp.P95, telemetry.Reading(p95))
			}
			p.Rules = append(p.Rules, rp)
		}
		return p
	}
	return telemetry.Plots{Recent: plot(5*time.Second, 180), Day: plot(5*time.Minute, 288)}
}
