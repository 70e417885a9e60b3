package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// node is Node 22 or later with the packages of package.json, as installed by
// .ci/run.
type node struct {
	program string
	modules string
}

// needNode returns what .ci/run installed, in a directory named after the
// lock file so that another one's packages are not taken for this one's.
func needNode(t *testing.T) node {
	t.Helper()
	cache := os.Getenv("INJECTPROXY_E2E_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "injectproxy-e2e")
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, hex.EncodeToString(sum[:6]), "node_modules")
	program := filepath.Join(modules, ".bin", "node")
	if _, err := os.Stat(program); err != nil {
		absent(t, "the packages of e2e/package.json are not installed (.ci/run does it)")
	}
	return node{program, modules}
}

// script copies a script of testdata to where it finds the packages.
func (n node) script(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(n.modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(dir, name)
	writeFile(t, name, string(content))
	return name
}

// behind is a client whose fetch uses p, as Node is told by its environment.
func (node) behind(p *serving) client {
	return client{env: []string{"NODE_USE_ENV_PROXY=1", "HTTPS_PROXY=" + p.url(), "NODE_EXTRA_CA_CERTS=" + p.root()}}
}

// TestNodeModelSDKsStream: the SDKs insist on a key of their own, which gives
// way to the token. The server sends the next delta once the client has shown
// the last, so the test cannot pass if anything is held back.
func TestNodeModelSDKsStream(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	deltas := []string{"In", "the", "beginning", "ü", "end."}
	tests := []struct {
		script, path  string
		before, after []string // events around the deltas
		delta         string   // event, with the text in place of %s
	}{
		{
			script: "openai.mjs", path: "/v1/chat/completions",
			delta: `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q}}]}`,
			after: []string{`data: [DONE]`},
		},
		{
			script: "anthropic.mjs", path: "/v1/messages",
			before: []string{
				"event: message_start\n" + `data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"m","usage":{"input_tokens":1,"output_tokens":1}}}`,
				"event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			},
			delta: "event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`,
			after: []string{"event: message_stop\n" + `data: {"type":"message_stop"}`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			next := make(chan string)
			u := w.upstream("models.corp.test", g.token, http2too, events(tt.before, next, tt.after))
			p := w.serve(options{
				rules:  g.rules("kind = \"llm\"\nstrip = [\"x-api-key\"]", u.url+"/v1"),
				hidden: []string{g.token},
			})
			lines, wait := n.behind(p).lines(t, n.program, n.script(t, tt.script), u.url)
			for _, d := range deltas {
				select {
				case next <- fmt.Sprintf(tt.delta, d):
				case l, ok := <-lines:
					if !ok {
						wait()
					}
					t.Fatalf("the client said %q before delta %q was sent", l, d)
				case <-t.Context().Done():
				}
				if got, err := receive(lines); err != nil || got != d {
					t.Fatalf("the client showed %q (%v), want %q", got, err, d)
				}
			}
			close(next)
			wait()
			u.wantVisit(t, tt.path, "HTTP/1.1", g.token)
			if key := u.to(tt.path)[0].header.Values("X-Api-Key"); len(key) > 0 {
				t.Errorf("the client's own key %q arrived", key)
			}
		})
	}
}

// events is an event stream with what comes from next in its middle.
func events(before []string, next <-chan string, after []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(event string) {
			fmt.Fprintf(w, "%s\n\n", event)
			http.NewResponseController(w).Flush()
		}
		for _, e := range before {
			send(e)
		}
		for {
			select {
			case e, ok := <-next:
				if !ok {
					for _, e := range after {
						send(e)
					}
					return
				}
				send(e)
			case <-r.Context().Done():
				return
			}
		}
	})
}
