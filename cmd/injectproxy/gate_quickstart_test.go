package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// TestQuickStartServesAServerAsTheSDKMakesIt holds of the first file of the page,
// whose public_url is not this machine, in front of a server with the SDK's
// defaults. Without upstream_host that refuses all clients, and the log says why,
// once.
func TestQuickStartServesAServerAsTheSDKMakesIt(t *testing.T) {
	t.Parallel()
	const key = "upstream_host"
	first := gateConfigs(t)[0]
	if strings.Count(first, "\n"+key) != 1 {
		t.Fatalf("the page's first file has no %s", key)
	}
	for _, c := range []struct {
		file   string
		served bool
	}{{first, true}, {strings.Replace(first, "\n"+key, "\n# "+key, 1), false}} {
		s := mcp.NewServer(&mcp.Implementation{Name: "tools", Version: "1"}, nil)
		mcp.AddTool(s, &mcp.Tool{Name: "docs_read"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{}, nil, nil
		})
		server := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil))
		t.Cleanup(server.Close)
		port := server.URL[strings.LastIndex(server.URL, ":"):]
		file := filepath.Join(t.TempDir(), "gate.toml")
		writeTestFile(t, file, strings.ReplaceAll(c.file, ":9000", port))
		cfg, problems := config.LoadGate(file)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var log bytes.Buffer
		o := gateOptions(cfg)
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Verify = func(context.Context, string) (*verify.Caller, error) {
			return &verify.Caller{Tenant: "t", Object: "o", Scopes: []string{"access_as_user"}, Expires: time.Now().Add(time.Hour)}, nil
		}
		g, err := gate.New(o)
		must(t, err)
		front := httptest.NewServer(g)
		t.Cleanup(front.Close)
		to, _ := url.Parse(front.URL)
		client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
		for range 2 {
			session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
				Endpoint: cfg.PublicURL.String() + cfg.Routes[0].Path, HTTPClient: &http.Client{Transport: ashore{to.Host}}, MaxRetries: -1,
			}, nil)
			if err == nil {
				_, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "docs_read"})
				_ = session.Close()
			}
			if (err == nil) != c.served {
				t.Errorf("served: %v; %v", c.served, err)
			}
		}
		must(t, g.Shutdown(t.Context()))
		if got := strings.Count(log.String(), "set upstream_host of the route"); got != map[bool]int{false: 1}[c.served] {
			t.Errorf("served: %v; the log says\n%s", c.served, log.String())
		}
	}
}

// ashore sends all requests to one address in the clear, with a token, whatever
// host they are for.
type ashore struct{ address string }

func (a ashore) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	r.URL.Scheme, r.URL.Host = "http", a.address
	r.Header.Set("Authorization", "Bearer token")
	return http.DefaultTransport.RoundTrip(r)
}
