package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/verify"
)

const (
	theTenant  = "16b3c013-d300-468d-8c1d-000000000000"
	theGate    = "7f2d9c1e-0000-4a2e-8c1d-000000000000" // application of the gate
	theManaged = "0b5c7a34-0000-4a2e-8c1d-000000000000"
	redirect   = "http://localhost:1/callback"
)

// cloud is a gate in front of a real MCP server, whose tokens are a simulated
// Entra's. The gate is served at url, the server at /mcp.
type cloud struct {
	*front
	entra *entratest.Authority
}

// under starts a cloud. The App ID URI of the gate is api://<its id>, or, if
// named, the address of the MCP server.
func under(t *testing.T, named, shim bool) *cloud {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	uri := "api://" + theGate
	if named {
		uri = "http://" + address + "/mcp"
	}
	a := simulated(t, uri)
	o := Options{
		Authority: a.URL(), Tenants: []string{theTenant}, AppIDURI: uri, Verify: verifier(t, a, uri).Verify,
		Routes: []Route{{Path: "/mcp", Needs: Needs{Scopes: []string{"use"}, Roles: []string{"Reader"}}, Tools: []Grant{
			{Pattern: "echo"}, {Pattern: "export", Needs: Needs{Scopes: []string{"export"}}},
		}}},
		Done: func(*Request) {}, // nobody listens
	}
	if shim {
		o.Shim = &Shim{Client: shimClient, HTTP: a.HTTPClient()}
	}
	f := open(t, o, address, toolServer(t))
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		f.client.CloseIdleConnections() // a server waits for one that was never used
		a.HTTPClient().CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = f.Shutdown(ctx)
		<-served
	})
	return &cloud{front: f, entra: a}
}

func simulated(t *testing.T, uri string) *entratest.Authority {
	t.Helper()
	a, err := entratest.Start(entratest.Options{
		Tenants:   []string{theTenant},
		Clients:   []entratest.Client{{ID: shimClient, Public: true}, {ID: theManaged, Managed: true}},
		Resources: []entratest.Resource{{ID: theGate, URIs: []string{uri}, Version: 2, Scopes: []string{"export", "use"}, Roles: []string{"Reader"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func verifier(t *testing.T, a *entratest.Authority, uri string) *verify.Verifier {
	t.Helper()
	v, err := verify.New(verify.Options{Authority: a.URL(), Tenants: []string{theTenant}, Audiences: []string{theGate, uri}, HTTP: a.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); v.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	if err := a.WaitRequests(t.Context(), 1, entratest.Request{Endpoint: entratest.KeysEndpoint}); err != nil {
		t.Fatal(err)
	}
	return v
}

// toolServer is an MCP server that knows nothing of tokens, and would show one.
func toolServer(t *testing.T) string {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "tools", Version: "1"}, nil)
	for _, name := range []string{"echo", "export"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			text := name + " was called" + req.Extra.Header.Get("Authorization")
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
		})
	}
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true, DisableLocalhostProtection: true})
	return serve(t, h.ServeHTTP).URL
}

// use calls a tool as the client does that signed in.
func use(t *testing.T, s *mcp.ClientSession, name string) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Content[0].(*mcp.TextContent).Text; res.IsError || got != name+" was called" {
		t.Errorf("%s: %q", name, got)
	}
}

// browser is a person who signs in at whatever address the client opens.
func browser(client *http.Client) auth.AuthorizationCodeFetcher {
	window := *client
	window.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args.URL, nil)
		if err != nil {
			return nil, err
		}
		res, err := window.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		to, err := res.Location()
		if err != nil {
			b, _ := io.ReadAll(res.Body)
			return nil, errors.New("the browser stays where it is: " + res.Status + " " + string(b))
		}
		back := to.Query()
		if back.Has("error") {
			return nil, errors.New(back.Get("error_description"))
		}
		return &auth.AuthorizationResult{Code: back.Get("code"), State: back.Get("state"), Iss: back.Get("iss")}, nil
	}
}

// connect has the Go SDK's client find out everything by itself.
func (c *cloud) connect(t *testing.T, registered bool, through *http.Client) (*mcp.ClientSession, error) {
	t.Helper()
	config := &auth.AuthorizationCodeHandlerConfig{RedirectURL: redirect, AuthorizationCodeFetcher: browser(c.entra.HTTPClient()), Client: through}
	if registered {
		config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: shimClient}
	} else {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "client", RedirectURIs: []string{redirect}}}
	}
	handler, err := auth.NewAuthorizationCodeHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	c.entra.Browse(entratest.User{ObjectID: "5d1c0e6a-0000-4a2e-8c1d-000000000000", Username: "ada@corp.example", Name: "Ada"})
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	s, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: c.url + "/mcp", HTTPClient: c.client, OAuthHandler: handler}, nil)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestGoSDKClientDiscoversTheAuthorityAndCalls(t *testing.T) {
	t.Parallel()
	redeemed := entratest.Request{Endpoint: entratest.TokenEndpoint, Grant: "authorization_code"}
	for name, registered := range map[string]bool{"by a shim, registering": false, "by a shim, registered before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := under(t, false, true)
			s, err := c.connect(t, registered, c.entra.HTTPClient())
			if err != nil {
				t.Fatal(err)
			}
			use(t, s, "echo")
			if n := c.entra.Count(redeemed); n != 1 {
				t.Errorf("%d codes were redeemed", n)
			}
			use(t, s, "export") // which the client signs in for once more, by what the refusal says
			if n := c.entra.Count(redeemed); n != 2 {
				t.Errorf("%d codes were redeemed", n)
			}
			for _, r := range c.entra.Requests() {
				if r.Form.Has("resource") {
					t.Errorf("Entra was sent the resource parameter: %v", r.Form)
				}
			}
		})
	}
	t.Run("directly", func(t *testing.T) {
		t.Parallel()
		c := under(t, true, false)
		s, err := c.connect(t, true, c.telling())
		if err != nil {
			t.Fatal(err)
		}
		use(t, s, "echo")
		use(t, s, "export")
	})
}

// telling is a client to which Entra says that it knows PKCE.
func (c *cloud) telling() *http.Client {
	client := *c.entra.HTTPClient()
	client.Transport = told{client.Transport}
	return &client
}

type told struct{ next http.RoundTripper }

func (r told) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	if err != nil || !strings.HasSuffix(req.URL.Path, "/v2.0/.well-known/openid-configuration") {
		return res, err
	}
	defer res.Body.Close()
	var document map[string]any
	if err := json.NewDecoder(res.Body).Decode(&document); err != nil {
		return nil, err
	}
	document["code_challenge_methods_supported"] = []string{"S256"}
	b, err := json.Marshal(document)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return res, err
}

// What the shim is for: these are what stand between a client and Entra.
func TestWithoutAShimEntraAndTheGoSDKClientRefuseEachOther(t *testing.T) {
	t.Parallel()
	t.Run("Entra does not say that it knows PKCE", func(t *testing.T) {
		t.Parallel()
		c := under(t, true, false)
		if _, err := c.connect(t, true, c.entra.HTTPClient()); err == nil || !strings.Contains(err.Error(), "does not implement PKCE") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the resource is not the scopes' API", func(t *testing.T) {
		t.Parallel()
		c := under(t, false, false)
		if _, err := c.connect(t, true, c.telling()); err == nil || !strings.Contains(err.Error(), "AADSTS9010010") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Entra registers nobody", func(t *testing.T) {
		t.Parallel()
		c := under(t, true, false)
		if _, err := c.connect(t, false, c.telling()); err == nil || !strings.Contains(err.Error(), "no configured client registration methods") {
			t.Errorf("got %v", err)
		}
	})
}

// carrying adds a token to each request, as a program does that has its own.
type carrying struct {
	token string
	next  http.RoundTripper
}

func (c carrying) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+c.token)
	return c.next.RoundTrip(req)
}

// managedToken is what App Service gives its application.
func managedToken(t *testing.T, a *entratest.Authority) string {
	t.Helper()
	env := a.IdentityEnv()
	query := url.Values{"api-version": {"2019-08-01"}, "resource": {"api://" + theGate}, "client_id": {theManaged}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, env["IDENTITY_ENDPOINT"]+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-IDENTITY-HEADER", env["IDENTITY_HEADER"])
	res, err := a.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.Token == "" {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return body.Token
}

func TestManagedIdentityIsAdmittedByARole(t *testing.T) {
	t.Parallel()
	c := under(t, false, false)
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: c.url + "/mcp", HTTPClient: &http.Client{Transport: carrying{managedToken(t, c.entra), c.client.Transport}}}
	s, err := client.Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	use(t, s, "echo")
}

func TestManagedIdentityIsRefusedWithoutARole(t *testing.T) {
	t.Parallel()
	c := under(t, false, false)
	for name, tt := range map[string]struct {
		roles []string
		want  string
	}{
		"none":    {[]string{}, "The access token carries no permission: it has neither scp nor roles"},
		"another": {[]string{"Writer"}, "The caller has no role that this server asks for"},
	} {
		token, err := c.entra.Issue(entratest.Grant{Client: theManaged, Audience: "api://" + theGate, Roles: tt.roles})
		if err != nil {
			t.Fatal(err)
		}
		req := c.request(t, http.MethodPost, "/mcp", callEcho)
		req.Header.Set("Authorization", "Bearer "+token)
		res, body := c.do(t, req)
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(body, `{"jsonrpc":"2.0","id":1,"error":`) || !strings.Contains(body, tt.want) || !strings.Contains(body, "the role Reader") || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %s %v %s", name, res.Status, res.Header, body)
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			req := c.request(t, method, "/mcp", "")
			req.Header.Set("Authorization", "Bearer "+token)
			if res, body := c.do(t, req); res.StatusCode != http.StatusForbidden || res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s, %s: %s %v %s", name, method, res.Status, res.Header, body)
			}
		}
	}
}
