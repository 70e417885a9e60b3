package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// model is a language model that has a tool called once, and then is done. It
// says when it is about to, and waits until it may.
type model struct {
	tool string
	will chan struct{}
	may  chan struct{}

	mu    sync.Mutex
	tools []string // that it was told of
	told  string   // what came of the call
}

// chat is a request for a completion.
type chat struct {
	Tools    []struct{ Function struct{ Name string } }
	Messages []struct {
		Role    string
		Content json.RawMessage
	}
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var c chat
	if json.Unmarshal(b, &c) != nil {
		http.Error(w, "not a chat", http.StatusBadRequest)
		return
	}
	delta, reason := `{"role":"assistant","content":"done"}`, "stop"
	if m.calls(c) {
		m.will <- struct{}{}
		<-m.may
		delta = fmt.Sprintf(`{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function",`+
			`"function":{"name":%q,"arguments":"{\"message\":\"again\"}"}}]}`, m.tool)
		reason = "tool_calls"
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, choice := range []string{`{"index":0,"delta":` + delta + `}`, `{"index":0,"delta":{},"finish_reason":"` + reason + `"}`} {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[%s]}\n\n", choice)
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

// calls tells whether it is time to call the tool, and notes what came of it
// if that was.
func (m *model) calls(c chat) bool {
	for _, msg := range c.Messages {
		if msg.Role == "tool" {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.told = string(msg.Content)
			return false
		}
	}
	calls := false
	for _, t := range c.Tools {
		calls = calls || t.Function.Name == m.tool
		m.note(t.Function.Name)
	}
	return calls
}

// note notes a tool that the model was told of.
func (m *model) note(tool string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tools = append(m.tools, tool)
}

// TestOpencodeOnALostSession: an agent as people run it, between its model and
// a server that loses the session before the agent calls a tool. The server
// says 400, which the agent takes for the tool's failure; behind normalise it
// begins another session, and behind heal the proxy does.
func TestOpencodeOnALostSession(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	program := n.opencode(t)
	for mode, want := range map[string]string{"heal": "Echo: again", "normalise": "Echo: again", "off": "No valid session ID"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			m := newMortal(t, n)
			llm := &model{tool: "everything_echo", will: make(chan struct{}, 10), may: make(chan struct{})}
			u := w.upstream("mcp.corp.test", g.token, http2too, m)
			models := w.upstream("models.corp.test", g.token, http2too, llm)
			p := w.serve(options{
				rules:  g.rules(fmt.Sprintf("kind = \"mcp\"\nrecover = %q", mode), u.url+"/mcp") + gatewayRule("llm", models.url+"/"),
				hidden: []string{g.token},
			})
			ended := make(chan error, 1)
			go func() {
				out, errs, err := opencode(t, p, models.url+"/v1", u.url+"/mcp").try(t, program, "run", "--pure", "--auto", "--print-logs", "call echo")
				if err != nil {
					err = fmt.Errorf("%w\n%s%s", err, out, errs)
				}
				ended <- err
			}()
			select {
			case <-llm.will:
			case err := <-ended:
				t.Fatalf("opencode ended before it called the tool: %v", err)
			}
			m.replace()
			close(llm.may)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(llm.told, want) {
				t.Errorf("the tool answered %s, want %s", llm.told, want)
			}
			began := len(m.all("opencode", func(m message) bool { return m.method == "initialize" }))
			if want := map[string]int{"heal": 2, "normalise": 2, "off": 1}[mode]; began != want {
				t.Errorf("%d initialize arrived, want %d", began, want)
			}
		})
	}
}

// opencode is the agent behind p.
func opencode(t *testing.T, p *serving, model, server string) client {
	t.Helper()
	c := agent(t, model, fmt.Sprintf("\"url\": %q", server))
	c.env = append(c.env, "HTTPS_PROXY="+p.url(), "NODE_EXTRA_CA_CERTS="+p.root())
	return c
}

// agent is opencode with a home of its own, a model, and a server of which the
// configuration is told.
func agent(t *testing.T, model, server string) client {
	t.Helper()
	home := t.TempDir()
	config := filepath.Join(home, "opencode.json")
	writeFile(t, config, fmt.Sprintf(`{
	"autoupdate": false, "share": "disabled", "model": "corp/m", "small_model": "corp/m",
	"provider": {"corp": {"npm": "@ai-sdk/openai-compatible", "name": "corp",
		"options": {"baseURL": %q, "apiKey": "not used"}, "models": {"m": {"name": "m", "tool_call": true}}}},
	"mcp": {"everything": {"type": "remote", "enabled": true, "oauth": false, %s}}
}`, model, server))
	return client{dir: home, env: []string{
		"HOME=" + home, "PWD=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_STATE_HOME=" + home,
		"OPENCODE_CONFIG=" + config, "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_AUTOUPDATE=1",
	}}
}

// opencode returns the program that .ci/run installed with the packages.
func (n node) opencode(t *testing.T) string {
	t.Helper()
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	program := filepath.Join(n.modules, "opencode-"+runtime.GOOS+"-"+cmp.Or(arch, runtime.GOARCH), "bin", "opencode")
	if _, err := os.Stat(program); err != nil {
		absent(t, "opencode is not installed for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return program
}

// gatewayRule is another rule with the audience of a gateway.
func gatewayRule(kind, prefix string) string {
	return fmt.Sprintf("[[rule]]\nprefix = %q\naudience = \"gateway\"\nkind = %q\n", prefix, kind)
}
