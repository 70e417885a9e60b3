package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// reconfigure makes s the configuration of b, as a reload does.
func (b *testbed) reconfigure(s settings) {
	b.t.Helper()
	cfg, problems := config.Load(s.write(b.t, b.dir))
	if cfg == nil || verdict(problems) != nil {
		b.t.Fatalf("the configuration of the test is broken: %v", problems)
	}
	hold(cfg, cfg, b.config())
	must(b.t, b.takeOver(cfg))
}

// alive is how many generations have not ended.
func (in *instance) alive() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.generations)
}

func TestChangesUnderLoadLoseNoRequest(t *testing.T) { // alone, as it counts goroutines
	release := make(chan struct{})
	o := newStreamOrigin(t, release)
	setting := func(n int) settings {
		return settings{
			tables: fileAudiences + fmt.Sprintf("[[rule]]\nname = \"r%d\"\nprefix = %q\naudience = %q\n", n, o+"/", []string{"a", "b"}[n%2]),
			files:  tokenFiles,
		}
	}
	b := newTestbed(t, setting(0))
	stream, err := b.client("h2").Get(o + "/stream")
	must(t, err)
	defer stream.Body.Close()
	first := make([]byte, len("begun "+tokenA))
	_, err = io.ReadFull(stream.Body, first)
	must(t, err)

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range 4 {
		c := b.client([]string{"h1", "h2"}[i%2])
		load.Go(func() {
			for ctx.Err() == nil {
				res, err := c.Post(o+"/x", "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 {
					t.Errorf("a request was lost: %d %s %v", res.StatusCode, body, err)
				}
				mu.Lock()
				seen[string(body)]++
				mu.Unlock()
			}
		})
	}
	before := runtime.NumGoroutine()
	for n := range 200 {
		b.reconfigure(setting(n + 1))
	}
	stop()
	load.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || seen["begun "+tokenA] == 0 || seen["begun "+tokenB] == 0 {
		t.Errorf("answers: %v", seen)
	}
	// That of the stream, and that in use: a client has its answer a little
	// before the proxy has done with the request.
	for late := time.Now().Add(guard); b.alive() > 2 && time.Now().Before(late); {
		runtime.Gosched()
	}
	if n := b.alive(); n != 2 {
		t.Errorf("%d generations", n)
	}
	close(release)
	rest, err := io.ReadAll(stream.Body)
	if err != nil || string(rest) != "ended" {
		t.Errorf("the stream: %q, %v", rest, err)
	}
	b.ending.Wait()
	if n := b.alive(); n != 1 {
		t.Errorf("%d generations at the end", n)
	}
	if after := runtime.NumGoroutine(); after > before+50 {
		t.Errorf("%d goroutines, %d before 200 changes", after, before)
	}
}

// newStreamOrigin returns the root of a server that tells the token it is sent,
// and ends its answers under /stream when release is closed.
func newStreamOrigin(t *testing.T, release chan struct{}) string {
	return newLive(t, "h2", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "begun "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.URL.Path == "/stream" {
			http.NewResponseController(w).Flush()
			<-release
			fmt.Fprint(w, "ended")
		}
	})
}

func TestAudienceThatIsAsItWasKeepsItsToken(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	rules := rule(o.url("/a/")) + "\n[[rule]]\nprefix = \"" + o.url("/b/") + "\"\naudience = \"b\"\n"
	b := newTestbed(t, settings{tables: fileAudiences + rules, files: tokenFiles})
	named := func(name string) *supply {
		for a, s := range b.current.supplies {
			if a.Name == name {
				return s
			}
		}
		return nil
	}
	beforeA, beforeB := named("a"), named("b")
	changed := strings.Replace(fileAudiences, `"b.token"`, `"other.token"`, 1)
	b.reconfigure(settings{tables: changed + rules + rule(o.url("/c/")), files: map[string]string{"other.token": tokenB}})
	b.ending.Wait()
	if named("a") != beforeA {
		t.Error("an audience that is as it was has another cache")
	}
	if named("b") == beforeB {
		t.Error("an audience that was changed has the same cache")
	}
	if _, err := beforeA.Token(t.Context()); err != nil {
		t.Errorf("the cache that is kept: %v", err)
	}
	if _, err := beforeB.Token(t.Context()); err == nil {
		t.Error("the cache that is not kept is open")
	}

	b.reconfigure(settings{tables: "[token]\nrefresh_margin = \"1m\"\n" + changed + rules})
	b.ending.Wait()
	if named("a") == beforeA {
		t.Error("an audience whose refresh was changed has the same cache")
	}
}

func TestAudiencesThatMeanTheSameShareAcrossChanges(t *testing.T) {
	t.Parallel()
	one := "[audience.one]\nscope = \"https://x.example/.default\"\n"
	two := "[audience.two]\nscope = \"https://x.example/.default\"\n"
	b := newTestbed(t, settings{tables: one + rule("https://a.example/", "#") + two, files: nil}.audience("one"))
	first := b.current.distinct()
	b.reconfigure(settings{tables: two + one + rule("https://a.example/", "#")}.audience("one"))
	if again := b.current.distinct(); len(first) != 1 || len(again) != 1 {
		t.Fatalf("%d, then %d", len(first), len(again))
	} else {
		for s := range first {
			if !again[s] {
				t.Error("another order made another cache")
			}
		}
	}
	// Its name is in messages: what is left must not go by the other's.
	b.reconfigure(settings{tables: two + rule("https://a.example/", "#")}.audience("two"))
	for s := range b.current.distinct() {
		if s.audience.Name != "two" {
			t.Errorf("it goes by the name of %s", s.audience.Name)
		}
	}
}

// audience puts another audience into the rules that [rule] writes.
func (s settings) audience(name string) settings {
	s.tables = strings.ReplaceAll(s.tables, `audience = "a"`, fmt.Sprintf("audience = %q", name))
	return s
}

func TestChangeThatCannotBeBuiltChangesNothing(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/")), files: tokenFiles})
	broken := *b.config()
	broken.Audiences = append(slices.Clone(broken.Audiences), &config.Audience{Name: "new", ClientID: "x", Sources: []string{"carrier pigeon"}})
	before := b.current
	if err := b.takeOver(&broken); err == nil {
		t.Fatal("taken over")
	}
	if b.current != before || b.alive() != 1 {
		t.Error("something has changed")
	}
	call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, 200)
	if got := o.taken(); len(got) != 1 || got[0].bearer() != tokenA {
		t.Errorf("upstream saw %+v", got)
	}
}

func TestSettingsThatNeedARestartAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	load := func(text string) *config.Config {
		writeTestFile(t, dir+"/config.toml", text)
		cfg, problems := config.Load(dir + "/config.toml")
		if cfg == nil {
			t.Fatal(problems)
		}
		return cfg
	}
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{`drain = "1s"`, ""},
		{`include = ["x/*.toml"]`, ""},
		{"[token]\nrefresh_margin = \"1s\"\ntimeout = \"1s\"", ""},
		{"[retry]\nmemory = 10\nbody_limit = 1", ""},
		{`listen = "127.0.0.1:1"`, "listen"},
		{`listen = "192.0.2.1:1"`, "listen tunnel.allow"},
		{`upstream_proxy = "http://u:p@proxy.example:1"`, "upstream_proxy"},
		{"upstream_proxy = \"http://proxy.example:1\"\nno_proxy = [\"a\"]", "upstream_proxy no_proxy"},
		{"[access]\nmode = \"credential\"", "access.mode"},
		{"[tunnel]\nallow = \"rules\"", "tunnel.allow"},
		{"[admin]\nlisten = \"\"", "admin"},
		{"[token]\nlogin = \"off\"", "token.login"},
		{"[entra]\naz_path = \"az\"", "entra"},
		{"[log]\nlevel = \"debug\"", "log"},
		{"[ca]\npermit = [\"a.example\"]", "ca.permit"},
	} {
		started := load("")
		cfg := load(tt.text)
		if got := strings.Join(hold(cfg, started, started), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
		if got := hold(cfg, started, started); len(got) > 0 && got[0] != "ca.permit" {
			t.Errorf("%s: %q is still as it was written", tt.text, got)
		}
	}
}
