package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// colours are what a terminal would show as such.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestOpencodeConnectsByItsReadyConfiguration: the file that the pages offer, with
// nothing changed but the host. One of its servers has its token by a rule, the
// other by flags and az.
func TestOpencodeConnectsByItsReadyConfiguration(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	thorough(t)
	program := needNode(t).opencode(t)
	w, g := newWorld(t), newGateway(t)
	s := mcp.NewServer(&mcp.Implementation{Name: "ready", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "hello"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
	u := w.upstream("mcp.corp.test", g.token, http2too, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{DisableLocalhostProtection: true}))

	home, bin := t.TempDir(), t.TempDir()
	ready, err := os.ReadFile("../docs/clients/opencode.json")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(home, "opencode.json"), strings.ReplaceAll(string(ready), "https://mcp.corp.example", u.url))
	writeFile(t, filepath.Join(home, "config.toml"), g.rules("kind = \"mcp\"", u.url+"/servers/github"))
	bridge, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bridge, filepath.Join(bin, "injectproxy")); err != nil {
		t.Fatal(err)
	}
	token, err := json.Marshal(map[string]any{"accessToken": g.token, "expires_on": 4102444800, "tokenType": "Bearer", "tenant": tenant})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "az"), fmt.Appendf(nil, "#!/bin/sh\ncat <<'E'\n%s\nE\n", token), 0o700); err != nil {
		t.Fatal(err)
	}
	c := client{dir: home, env: []string{
		"HOME=" + home, "PWD=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_STATE_HOME=" + home,
		"OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_AUTOUPDATE=1", "NO_COLOR=1", "GORACE=atexit_sleep_ms=0",
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"INJECTPROXY_HOME=" + home, "HTTPS_PROXY=" + w.via.URL, "SSL_CERT_FILE=" + w.caFile,
	}}
	out, errs := c.run(t, program, "mcp", "list")
	for _, server := range []string{"github", "tools"} {
		if !strings.Contains(colours.ReplaceAllString(out, ""), "✓ "+server+" connected") {
			t.Errorf("%s is not connected:\n%s%s", server, out, errs)
		}
		if n := len(u.to("/servers/" + server)); n < 2 {
			t.Errorf("%d requests for %s came", n, server)
		}
	}
}
