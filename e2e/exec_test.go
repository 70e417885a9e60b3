package e2e_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// shell is where a user runs injectproxy exec: an environment with the proxy
// and the root of the network, and no configuration.
type shell struct {
	client
	program string
	temp    string
	home    string
}

func (w *world) shell(env ...string) *shell {
	t := w.t
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{program: program, temp: t.TempDir(), home: t.TempDir()}
	s.env = append([]string{
		"HTTPS_PROXY=" + w.via.URL, "SSL_CERT_FILE=" + w.caFile,
		"INJECTPROXY_HOME=" + s.home, "TMPDIR=" + s.temp, "GORACE=atexit_sleep_ms=0",
	}, env...)
	return s
}

// exec runs a command behind a proxy of its own to its end, which must be a
// good one and leave nothing behind.
func (s *shell) exec(t *testing.T, flags []string, command ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr = s.run(t, s.program, slices.Concat([]string{"exec"}, flags, []string{"--"}, command)...)
	left, err := os.ReadDir(s.temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if !strings.HasPrefix(entry.Name(), "hsperfdata_") { // Java's own
			t.Errorf("%s is left", entry.Name())
		}
	}
	return stdout, stderr
}

// TestExecGivesEachClientItsToken with nothing set for the client: what exec
// does to the environment has to be enough.
func TestExecGivesEachClientItsToken(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	file, body := randomFile(t, 1<<20)
	for name, tt := range map[string]struct {
		handler http.Handler
		env     []string
		command func(t *testing.T, url string) []string
		want    string
		paths   []string
	}{
		"curl": {
			handler: hello, want: "hello", paths: []string{"/curl"},
			command: func(t *testing.T, url string) []string { return []string{need(t, "curl"), "-q", "-sS", url + "/curl"} },
		},
		"python": {
			handler: digest, want: digestOf(nil) + digestOf(body), paths: []string{"/get", "/post"},
			command: func(t *testing.T, url string) []string {
				return []string{need(t, "python3"), "testdata/client.py", url + "/get", url + "/post", file}
			},
		},
		"node's fetch": {
			handler: hello, want: "hello", paths: []string{"/fetch"},
			command: func(t *testing.T, url string) []string {
				return []string{needNode(t).program, "-e", `fetch(process.argv[1]).then(r => r.text()).then(s => process.stdout.write(s))`, url + "/fetch"}
			},
		},
		"go": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = echo(w, r) }), env: []string{clientVariable + "=websocket"},
			command: func(t *testing.T, url string) []string { return []string{self, strings.TrimPrefix(url, "https://")} },
			paths:   []string{"/client-closes", "/server-closes"},
		},
		"java": {
			handler: hello, want: "hello", paths: []string{"/java"},
			command: func(t *testing.T, url string) []string {
				need(t, "javac") // a program in one file is compiled first
				return []string{need(t, "java"), "-XX:TieredStopAtLevel=1", "testdata/Authenticated.java", url + "/java"}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			u := w.upstream("api.corp.test", g.token, http2too, tt.handler)
			s := w.shell(append(tt.env, "E2E_TOKEN="+g.token)...)
			out, errs := s.exec(t, []string{"--rule", u.url + "/=env:E2E_TOKEN"}, tt.command(t, u.url)...)
			if out != tt.want || strings.Contains(errs, g.token) {
				t.Errorf("it printed %q, want %q\n%s", out, tt.want, errs)
			}
			u.wantGuarded(t)
			for _, path := range tt.paths {
				if len(u.to(path)) != 1 {
					t.Errorf("%d requests for %s arrived", len(u.to(path)), path)
				}
			}
			if !w.passed("api.corp.test:443") {
				t.Error("the proxy of the network was not used")
			}
		})
	}
}

func TestExecGivesGitItsToken(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	git := need(t, "git")
	w, g := newWorld(t), newGateway(t)
	root := t.TempDir()
	commit := newRepository(t, git, root)
	u := w.upstream("git.corp.test", g.token, http2too, gitHTTP(t, git, root))
	s := w.shell(gitEnv...)
	work := filepath.Join(t.TempDir(), "work")
	s.exec(t, []string{"--rule", u.url + "/=file:" + g.file}, git, "clone", "-q", u.url+"/tools.git", work)
	if got, _ := (client{dir: work, env: gitEnv}).run(t, git, "rev-parse", "HEAD"); got != commit {
		t.Errorf("cloned %q, want %q", got, commit)
	}
	u.wantGuarded(t)
}

// configure writes a configuration with two rules, a and b.
func (s *shell) configure(t *testing.T, w *world, g *gateway, a, b string) {
	t.Helper()
	writeFile(t, filepath.Join(s.home, "config.toml"), fmt.Sprintf("upstream_proxy = %q\nupstream_ca = [%q]\n[audience.x]\ntoken_file = %q\n"+
		"[[rule]]\nname = \"a\"\nprefix = %q\naudience = \"x\"\n[[rule]]\nname = \"b\"\nprefix = %q\naudience = \"x\"\n", w.via.URL, w.caFile, g.file, a, b))
}

func TestExecOnlyGivesTheTokensOfThatRuleAlone(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	curl := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	a, b := w.upstream("a.corp.test", g.token, http2too, digest), w.upstream("b.corp.test", g.token, http2too, digest)
	s := w.shell()
	s.configure(t, w, g, a.url+"/", b.url+"/")
	get := func(flags ...string) string {
		out, _ := s.exec(t, flags, curl, "-q", "-sS", "-o", os.DevNull, "-w", "%{http_code} ", a.url+"/x", "-o", os.DevNull, b.url+"/x")
		return out
	}
	if got := get(); got != "200 200 " {
		t.Errorf("with all rules: %s", got)
	}
	if got := get("--only", "b"); got != "401 200 " {
		t.Errorf("with b alone: %s", got)
	}
	if got := get("--only", "a", "--only", "b"); got != "200 200 " {
		t.Errorf("with both: %s", got)
	}
	if got := get("--only", "b", "--rule", a.url+"/x=file:"+g.file); got != "200 200 " {
		t.Errorf("with b and a rule of the command line: %s", got)
	}
	if got := get("--rule", a.url+"/x=file:"+g.file); got != "200 401 " {
		t.Errorf("with a rule of the command line alone: %s", got)
	}
	vs := a.to("/x")
	if len(vs) != 5 || vs[1].header.Get("Authorization") != "" {
		t.Errorf("%d requests, the second with %q", len(vs), vs[1].header["Authorization"])
	}
}

// What --only leaves out does not fall to the rule around it.
func TestExecOnlyWidensNoRule(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	curl := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("a.corp.test", g.token, http2too, digest)
	s := w.shell()
	s.configure(t, w, g, u.url+"/", u.url+"/inner/")
	out, _ := s.exec(t, []string{"--only", "a"}, curl, "-q", "-sS", "-w", "%{http_code} ", "-o", os.DevNull, u.url+"/x", "-o", os.DevNull, u.url+"/inner/x")
	if out != "200 502 " {
		t.Errorf("curl saw %q", out)
	}
	if n := len(u.to("/inner/x")); n != 0 {
		t.Errorf("%d requests arrived under the rule that was left out", n)
	}
}

// TestNoProxyThatCoversARuleIsForExecAlone: the child gets it without the
// entry, so that its request comes to us, and we go on as the user wanted:
// without the proxy of the network, to a name that only that proxy knows.
func TestNoProxyThatCoversARuleIsForExecAlone(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	curl := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("api.corp.test", g.token, http2too, digest)
	s := w.shell("E2E_TOKEN="+g.token, "NO_PROXY=10.0.0.0/8,.corp.test")
	out, errs := s.exec(t, []string{"--rule", u.url + "/=env:E2E_TOKEN"},
		"sh", "-c", `echo "$NO_PROXY"; exec "$0" -q -sS -i "$1"`, curl, u.url+"/x")
	if !strings.HasPrefix(out, "10.0.0.0/8,localhost,") || strings.Contains(out, ".corp.test,") || !strings.Contains(strings.ToLower(out), "proxy-status: injectproxy") {
		t.Errorf("the command saw\n%s", out)
	}
	if !strings.HasPrefix(errs, "note: ") || !strings.Contains(errs, ".corp.test") || strings.Contains(errs, "10.0.0.0") {
		t.Errorf("stderr %q", errs)
	}
	if w.passed("api.corp.test:443") {
		t.Error("the way out ignored NO_PROXY")
	}
}

// TestExecMergesTheRootsOfItsEnvironment: what a client trusted before, it
// trusts still, in a tunnel as well.
func TestExecMergesTheRootsOfItsEnvironment(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	curl := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("elsewhere.corp.test", "", http2too, digest)
	u.accept("none")
	s := w.shell()
	out, _ := s.exec(t, []string{"--rule", "https://api.corp.test/=file:" + g.file}, "sh", "-c",
		`cat "$CURL_CA_BUNDLE"; exec "$0" -q -sS -o /dev/null -w "%{http_code}" "$1"`, curl, u.url+"/x")
	if !strings.HasSuffix(out, "401") {
		t.Errorf("curl ended with %q", out[max(0, len(out)-20):])
	}
	u.wantVisit(t, "/x", "HTTP/2.0", "")
	if count(out) < 2 {
		t.Errorf("the bundle has %d certificates", count(out))
	}
}

// count returns how many certificates are in text.
func count(text string) (n int) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	return n
}

func onlyUnix(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the commands here are those of Unix")
	}
}

// TestExecInExecGoesOutOnItsOwn: not by way of the other, which would give a
// token of its own.
func TestExecInExecGoesOutOnItsOwn(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	curl := need(t, "curl")
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("outer.corp.test", g.token, http2too, digest)
	s := w.shell()
	out, errs := s.exec(t, []string{"--rule", u.url + "/=file:" + g.file},
		s.program, "exec", "--rule", "https://inner.corp.test/=file:"+g.file, "--", curl, "-q", "-sS", "-o", os.DevNull, "-w", "%{http_code}", u.url+"/x")
	if out != "401" {
		t.Errorf("curl saw %q, want 401\n%s", out, errs)
	}
	u.wantVisit(t, "/x", "HTTP/2.0", "")
}
