package e2e_test

import (
	"net/http"
	"net/http/cgi"
	"path/filepath"
	"strings"
	"testing"
)

// gitHTTP is git's own server for the repositories below root.
func gitHTTP(t *testing.T, git, root string) http.Handler {
	t.Helper()
	dir, _ := client{}.run(t, git, "--exec-path")
	return &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(dir), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=tester"},
		Stderr: t.Output(),
	}
}

// gitEnv is git without anything of this machine's.
var gitEnv = []string{
	"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@corp.test", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@corp.test",
}

// newRepository makes root/tools.git with 2 MiB in its one commit, which it
// returns.
func newRepository(t *testing.T, git, root string) (commit string) {
	t.Helper()
	c := client{dir: filepath.Join(root, "tools.git"), env: gitEnv}
	client{dir: root, env: gitEnv}.run(t, git, "init", "-q", "-b", "main", "tools.git")
	_, content := randomFile(t, 2<<20)
	writeFile(t, filepath.Join(c.dir, "data"), string(content))
	c.run(t, git, "add", "data")
	c.run(t, git, "commit", "-q", "-m", "data")
	c.run(t, git, "config", "http.receivepack", "true")
	commit, _ = c.run(t, git, "rev-parse", "HEAD")
	return commit
}

// TestGitClonesAndPushes over smart HTTP, with a server that wants the token
// for every request. In credential mode git sends the credential of the
// proxy's URL only once it was answered 407.
func TestGitClonesAndPushes(t *testing.T) {
	t.Parallel()
	git := need(t, "git")
	tests := []struct{ name, version, proto, access string }{
		{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "auto"},
		{"HTTP/2", "HTTP/2", "HTTP/2.0", "auto"},
		{"second round of the credential", "HTTP/2", "HTTP/2.0", "credential"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			root := t.TempDir()
			commit := newRepository(t, git, root)
			u := w.upstream("git.corp.test", g.token, http2too, gitHTTP(t, git, root))
			p := w.serve(options{rules: g.rules("", u.url+"/"), access: tt.access, hidden: []string{g.token}})
			proxy := p.url()
			if tt.access == "credential" {
				proxy = "http://injectproxy:" + p.credential(t) + "@" + p.address
			}
			c := client{env: append(gitEnv, "HTTPS_PROXY="+proxy, "GIT_SSL_CAINFO="+p.bundle(), "GIT_CURL_VERBOSE=1")}
			work := filepath.Join(t.TempDir(), "work")

			_, trace := c.run(t, git, "-c", "http.version="+tt.version, "clone", u.url+"/tools.git", work)
			if rounds := strings.Count(trace, "HTTP/1.1 407"); (rounds > 0) != (tt.access == "credential") {
				t.Errorf("git was answered 407 %d times", rounds)
			}
			c.dir = work
			if got, _ := c.run(t, git, "rev-parse", "HEAD"); got != commit {
				t.Errorf("cloned %q, want %q", got, commit)
			}
			c.run(t, git, "fsck", "--strict")

			c.run(t, git, "commit", "-q", "--allow-empty", "-m", "more")
			c.run(t, git, "-c", "http.version="+tt.version, "push", "-q", "origin", "HEAD:refs/heads/more")
			pushed, _ := c.run(t, git, "rev-parse", "HEAD")
			there := client{dir: filepath.Join(root, "tools.git"), env: gitEnv}
			if got, _ := there.run(t, git, "rev-parse", "more"); got != pushed {
				t.Errorf("the server has %q, want %q", got, pushed)
			}
			u.wantGuarded(t)
			u.wantProto(t, tt.proto)
		})
	}
}
