package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// screenOf is what a browser shows a page on.
type screenOf struct {
	width, height int64
	dark, mobile  bool
	calm          bool // no motion
}

var desktop = screenOf{width: 1280, height: 900}

// newBrowser starts a browser that sees nothing of the environment, and returns
// its context.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		absent(t, "chromium is not installed")
	}
	dir := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir+"/profile"),
		chromedp.NoInheritEnv, chromedp.Env("PATH="+os.Getenv("PATH"), "HOME="+dir, "TZ=UTC", "LANG=C.UTF-8"),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("font-render-hinting", "none"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} }))
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	browser, leave := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(browser, guard)
		chromedp.Cancel(ctx) // which waits for it
		stop()
		leave()
		end()
	})
	must(t, chromedp.Do(browser))
	return browser
}

// newTab returns the context of a page of browser, which shares nothing with
// others.
func newTab(t *testing.T, browser context.Context, s screenOf) context.Context {
	t.Helper()
	tab, leave := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	var listening sync.WaitGroup
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(tab, guard)
		chromedp.Cancel(ctx)
		stop()
		leave()
		listening.Wait()
	})
	must(t, chromedp.Do(tab))
	console := chromedp.Console(tab)
	listening.Go(func() {
		for m, err := range console {
			// That a serve is gone, and says so, is no fault of the page.
			if err == nil && (m.IsException() || m.Type == "error" && m.Source != "network") {
				t.Errorf("the page complains: %s", m)
			}
		}
	})
	s.emulate(t, tab)
	return tab
}

// emulate shows the page of tab on such a screen from now on.
func (s screenOf) emulate(t *testing.T, tab context.Context) {
	t.Helper()
	scheme, motion := "light", "no-preference"
	if s.dark {
		scheme = "dark"
	}
	if s.calm {
		motion = "reduce"
	}
	_, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile})
	must(t, err)
	_, err = chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}})
	must(t, err)
}

// visit opens a page.
func visit(t *testing.T, tab context.Context, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, guard)
	defer cancel()
	must(t, chromedp.Do(ctx, chromedp.Navigate(url)))
}

// become waits until a JavaScript expression is neither null, false, 0 nor
// empty, and returns what it is then, whatever page the tab has gone on to.
func become[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, guard)
	defer cancel()
	for {
		v, err := chromedp.Run(ctx, chromedp.Poll[T](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(guard)))
		if err == nil {
			return v
		}
		left := strings.Contains(err.Error(), "Cannot find context") || strings.Contains(err.Error(), "target navigated")
		if ctx.Err() != nil || !left {
			t.Fatalf("%s: %v", expression, err)
		}
	}
}

// script returns what a JavaScript expression is.
func script[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// press presses keys, one after the other.
func press(t *testing.T, tab context.Context, keys string) {
	t.Helper()
	must(t, chromedp.Do(tab, chromedp.KeyEvent(keys)))
}
