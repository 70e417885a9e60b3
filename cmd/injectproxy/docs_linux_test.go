package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// docsTools are programs of the pages that this machine need not have. Each is
// played by one that makes one request as its own would: by the proxy and the
// roots of its environment.
var docsTools = []string{"claude", "opencode", "codex", "code", "cursor", "npx", "dotnet"}

// docsTool is what plays them.
const docsTool = `#!/bin/sh
# A stand-in: one request, by what curl has from the environment.
exec curl -sSf -o /dev/null https://mcp.corp.example/servers/github
`

// docsDangers change the machine for good, or belong to it. Blocks with them are
// not run, and one that is not marked so fails before it does anything.
var docsDangers = []string{"sudo", "docker", "systemctl", "launchctl", "apt", "apt-get", "brew", "npm", "go", "az"}

// docsToken is the token of every audience on the pages.
const docsToken = "a-token-of-the-documentation-0123456789"

// docsWorld is the machine of a user who follows the pages: a configuration as
// the pages show it, a running serve, a network with a proxy of its own, and
// hosts that want a token.
type docsWorld struct {
	user, home string
	environ    []string
	origin     *origin
}

func newDocsWorld(t testing.TB) *docsWorld {
	t.Helper()
	w := &docsWorld{user: t.TempDir()}
	w.home = filepath.Join(w.user, ".config", "injectproxy")
	w.origin = newOrigin(t, "h2", func(rw http.ResponseWriter, s sighting) {
		if s.bearer() != docsToken {
			rw.WriteHeader(http.StatusUnauthorized)
		} else if strings.Contains(s.target, "/info/refs") {
			advertise(rw)
		}
	}, "mcp.corp.example", "llm.corp.example")
	board := newSwitchboard(t, map[string]string{"mcp.corp.example:443": w.origin.authority, "llm.corp.example:443": w.origin.authority})
	settings{
		top: `listen = "127.0.0.1:` + freePort(t) + "\"\nupstream_proxy = \"env\"",
		tables: "[admin]\nlisten = \"127.0.0.1:" + freePort(t) + "\"\n[ca]\npermit = [\"corp.example\"]\n" +
			"[audience.gateway]\ntoken_file = \"token\"\n[[rule]]\nname = \"mcp\"\nprefix = \"https://mcp.corp.example/servers/\"\naudience = \"gateway\"\n",
		files: map[string]string{"token": docsToken},
	}.write(t, w.home)
	writeTestFile(t, filepath.Join(w.home, "gate.toml"), gateConfigs(t)[0])
	tools := binDir(t)
	for _, name := range docsTools {
		must(t, os.WriteFile(filepath.Join(tools, name), []byte(docsTool), 0o700))
	}
	for _, name := range docsDangers {
		must(t, os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\necho \"$0 is not run by a test: mark the block\" >&2\nexit 1\n"), 0o700))
	}
	w.environ = []string{
		"PATH=" + tools + ":" + os.Getenv("PATH"), "HOME=" + w.user, "GORACE=atexit_sleep_ms=0", "AZURE_CONFIG_DIR=" + w.user,
		"HTTPS_PROXY=" + board.url(nil), "SSL_CERT_FILE=" + filepath.Join(w.home, "origins.pem"),
		"MCP_TOKEN=" + docsToken,
	}
	return w
}

// advertise answers git's question for the refs of a repository.
func advertise(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	ref := strings.Repeat("1", 40) + " refs/heads/main\x00agent=docs\n"
	fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s0000", len(ref)+4, ref)
}

// serve runs serve as the world's user, and returns once it listens.
func (w *docsWorld) serve(t testing.TB, args ...string) *daemon {
	t.Helper()
	cmd := command(t, context.Background(), w.home, nil, append([]string{"serve"}, args...)...)
	cmd.Env, cmd.Dir = w.environ, t.TempDir()
	d := spawn(t, w.home, cmd)
	d.listening()
	return d
}

// run runs a script as a shell does, and stops at the first command that fails.
// A line that is serve in the foreground begins and ends another serve.
func (w *docsWorld) run(t testing.TB, script string) {
	t.Helper()
	script = strings.ReplaceAll(script, "\ninjectproxy serve\n", "\n:\n")
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Env, cmd.Dir = w.environ, t.TempDir()
	if strings.Contains(script, "injectproxy init") {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "INJECTPROXY_HOME="+t.TempDir())
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every command of README and docs runs, or a comment before it says why it
// does not.
func TestCommandsOfThePagesRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		absent(t, "curl: %v", err)
	}
	w := newDocsWorld(t)
	w.serve(t)
	ran := 0
	for name, page := range pages(t) {
		for _, f := range fences(name, page) {
			if f.reason != "" || f.inert() {
				continue
			}
			ran++
			t.Run(f.place, func(t *testing.T) {
				if f.info != "sh" {
					t.Fatal("it is no script of sh: mark it with <!-- not run: REASON -->, and say what holds it instead")
				}
				for _, tool := range []string{"git", "java", "node", "python3"} {
					if _, err := exec.LookPath(tool); err != nil && strings.Contains("\n"+strings.ReplaceAll(f.text, " ", "\n"), "\n"+tool+"\n") {
						absent(t, "%s: %v", tool, err)
					}
				}
				if strings.Contains("\n"+f.text, "\ninjectproxy serve\n") {
					d := w.serve(t, "--listen", "127.0.0.1:0")
					d.signal(os.Interrupt)
					if status := d.stopped(); status != 0 {
						t.Errorf("serve ends with exit status %d", status)
					}
				}
				w.run(t, "\n"+f.text)
			})
		}
	}
	if ran < 15 {
		t.Errorf("%d blocks: the search does not find them", ran)
	}
}

// A block that a test leaves out would be as good as one that does not work.
func TestCommandThatFailsIsSeen(t *testing.T) {
	t.Parallel()
	w := newDocsWorld(t)
	for _, script := range []string{"injectproxy explain\n", "false\ntrue\n", "claude\n", "az version\n"} {
		failed := &countedErrors{TB: t}
		w.run(failed, "\n"+script)
		if !failed.seen {
			t.Errorf("%q is taken for one that works", script)
		}
	}
}

// countedErrors notes errors in place of failing.
type countedErrors struct {
	testing.TB
	seen bool
}

func (f *countedErrors) Errorf(string, ...any) { f.seen = true }
