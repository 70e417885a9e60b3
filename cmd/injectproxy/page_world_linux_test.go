package main

import (
	"context"
	"os"
	"os/exec"
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

// newTab returns the context of a page in a browser of its own, which sees
// nothing of the environment.
func newTab(t *testing.T, s screenOf) context.Context {
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
	tab, leave := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(tab, guard)
		chromedp.Cancel(ctx) // which waits for the browser
		stop()
		leave()
		end()
	})
	scheme, motion := "light", "no-preference"
	if s.dark {
		scheme = "dark"
	}
	if s.calm {
		motion = "reduce"
	}
	must(t, chromedp.Do(tab))
	_, err = chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile})
	must(t, err)
	_, err = chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}})
	must(t, err)
	return tab
}

// visit opens a page.
func visit(t *testing.T, tab context.Context, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, guard)
	defer cancel()
	must(t, chromedp.Do(ctx, chromedp.Navigate(url)))
}

// become waits until a JavaScript expression is neither null, false, 0 nor
// empty, and returns what it is then.
func become[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Poll[T](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(guard)))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
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
