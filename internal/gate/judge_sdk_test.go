package gate

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// offering is a real server of tools, resources and prompts.
func offering(t *testing.T, o mcp.StreamableHTTPOptions) string {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "offering", Version: "1"}, nil)
	for _, name := range []string{"echo", "cost_export", "cost_read", "shutdown", "wipe"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name + " was called"}}}, nil, nil
		})
	}
	read := func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: req.Params.URI, Text: "of " + req.Params.URI}}}, nil
	}
	for _, dir := range []string{"public", "private"} {
		s.AddResource(&mcp.Resource{Name: dir, URI: "file:///" + dir + "/a"}, read)
		s.AddResourceTemplate(&mcp.ResourceTemplate{Name: dir, URITemplate: "file:///" + dir + "/{x}"}, read)
		s.AddPrompt(&mcp.Prompt{Name: dir}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{}, nil
		})
	}
	o.DisableLocalhostProtection = true
	t.Cleanup(func() {
		for session := range s.Sessions() {
			_ = session.Close()
		}
	})
	ts := serve(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &o).ServeHTTP)
	return ts.URL
}

// deciding is a route that decides, in every mode that a decision has.
func deciding() Route {
	return Route{
		Path: "/", Needs: Needs{Scopes: []string{"use"}, Roles: []string{"Reader"}}, Mode: Optional,
		Tools: []Grant{
			grant("echo", Needs{}), grant("cost_*", Needs{Scopes: []string{"cost.read", "cost.admin"}, Roles: []string{"Reader"}}),
			grant("cost_export", scopes("cost.export")), grant("shutdown", roles("Operator")),
		},
		Resources: []Grant{grant("file:///public/*", Needs{}), grant("db://*", scopes("db"))},
		Prompts:   []Grant{grant("public", Needs{})},
	}
}

// judging serves a gate with the deciding route, whose tokens are the callers'
// scopes, or their roles behind an "app-".
func judging(t *testing.T, change func(*Options), upstream string) *front {
	t.Helper()
	o := Options{
		AppIDURI: "api://gate", Routes: []Route{deciding()},
		Verify: func(_ context.Context, token string) (*verify.Caller, error) {
			if all, ok := strings.CutPrefix(token, "app-"); ok {
				return application(strings.Split(all, "~")...), nil
			}
			return user(strings.Split(token, "~")...), nil
		},
	}
	if change != nil {
		change(&o)
	}
	return stand(t, o, upstream)
}

// bearer adds a token to each request, none if it is "".
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// connect opens a session of the SDK's client with a token.
func (f *front) connect(t *testing.T, token string) *mcp.ClientSession {
	t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	s, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: f.url, HTTPClient: &http.Client{Transport: bearer{token, f.client.Transport}}, MaxRetries: -1,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestToolThatIsDeniedIsAbsentAndRefusedAndTheNextCallSucceeds is the life of a
// real client with tools that it may not have, over both forms of answers.
func TestToolThatIsDeniedIsAbsentAndRefusedAndTheNextCallSucceeds(t *testing.T) {
	t.Parallel()
	forms := map[string]mcp.StreamableHTTPOptions{"JSON": {JSONResponse: true}, "events": {}, "without sessions": {Stateless: true, JSONResponse: true}}
	for form, o := range forms {
		for _, tt := range []struct{ token, sees string }{
			{"use", "echo"}, {"use~cost.read", "cost_read echo"}, {"use~cost.export~cost.admin", "cost_export cost_read echo"}, {"app-Reader~Operator", "cost_read echo shutdown"}, {"", "echo"},
		} {
			t.Run(form+", "+tt.token, func(t *testing.T) {
				t.Parallel()
				f := judging(t, nil, offering(t, o))
				sees := strings.Fields(tt.sees)
				s := f.connect(t, tt.token)
				list, err := s.ListTools(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, tool := range list.Tools {
					names = append(names, tool.Name)
				}
				if slices.Sort(names); !slices.Equal(names, sees) {
					t.Errorf("sees %q, want %q", names, sees)
				}
				for _, name := range []string{"echo", "cost_export", "cost_read", "shutdown", "wipe", "echo"} {
					res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name})
					called := err == nil && len(res.Content) == 1 && res.Content[0].(*mcp.TextContent).Text == name+" was called"
					if called != slices.Contains(sees, name) {
						t.Errorf("%s: %v, %v", name, res, err)
					}
					if !called && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) && tt.token != "") {
						t.Errorf("%s: the refusal does not say of what: %v", name, err)
					}
				}
			})
		}
	}
}

func TestResourcesAndPromptsThatAreDeniedAreAbsentAndRefused(t *testing.T) {
	t.Parallel()
	for _, form := range []mcp.StreamableHTTPOptions{{JSONResponse: true}, {}} {
		s := judging(t, nil, offering(t, form)).connect(t, "use")
		resources, err := s.ListResources(t.Context(), nil)
		if err != nil || len(resources.Resources) != 1 || resources.Resources[0].URI != "file:///public/a" {
			t.Errorf("resources: %+v, %v", resources, err)
		}
		templates, err := s.ListResourceTemplates(t.Context(), nil)
		if err != nil || len(templates.ResourceTemplates) != 1 || templates.ResourceTemplates[0].Name != "public" {
			t.Errorf("templates: %+v, %v", templates, err)
		}
		prompts, err := s.ListPrompts(t.Context(), nil)
		if err != nil || len(prompts.Prompts) != 1 || prompts.Prompts[0].Name != "public" {
			t.Errorf("prompts: %+v, %v", prompts, err)
		}
		for _, dir := range []string{"private", "public"} {
			_, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///" + dir + "/b"})
			if (err == nil) != (dir == "public") {
				t.Errorf("%s: %v", dir, err)
			}
			if _, err := s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: dir}); (err == nil) != (dir == "public") {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
}
