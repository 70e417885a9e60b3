package gate

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// canary is the token of the tests that only want to be let in. It must not be
// seen anywhere but where a caller sent it.
const canary = "canary-3f0c1b7e5d"

// front is a gate that is served over a real socket, in front of real servers.
type front struct {
	*Gate
	url    string
	client *http.Client
	done   chan *Request // what Done was told
}

// stand serves a gate with options o in the clear; what they need and lack is
// filled in: one plain route for /, strict, whose caller is anybody with the
// canary.
func stand(t testing.TB, o Options, upstreams ...string) *front {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	f := open(t, o, ts.Listener.Addr().String(), upstreams...)
	served := make(chan error, 1)
	l := ts.Listener
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = f.Shutdown(ctx)
		<-served
	})
	return f
}

// open makes a gate that will be served at address.
func open(t testing.TB, o Options, address string, upstreams ...string) *front {
	t.Helper()
	f := &front{done: make(chan *Request, 100)}
	scheme := "http"
	if o.TLS.Cert != "" {
		scheme = "https"
	}
	if o.PublicURL == nil {
		o.PublicURL = &url.URL{Scheme: scheme, Host: address}
	}
	if o.Routes == nil {
		o.Routes = []Route{{Path: "/", Allow: true}}
	}
	for i := range o.Routes {
		if o.Routes[i].Upstreams == nil {
			o.Routes[i].Upstreams = urls(t, upstreams...)
		}
	}
	if o.Verify == nil {
		o.Verify = func(_ context.Context, token string) (*verify.Caller, error) {
			if token != canary {
				return nil, &verify.Invalid{Reason: "signature", Description: "it is not the canary"}
			}
			return somebody(), nil
		}
	}
	if o.Done == nil {
		o.Done = func(r *Request) {
			select {
			case f.done <- r:
			default: // nobody asks
			}
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Gate, f.url = g, scheme+"://"+address
	return f.over(t, "1.1")
}

// over has the client speak that protocol, 1.1 or h2c.
func (f *front) over(t testing.TB, protocol string) *front {
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol != "h2c")
	transport.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
	f.client = &http.Client{Transport: transport, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	return f
}

func somebody() *verify.Caller {
	return &verify.Caller{Tenant: "tenant", Object: "object", Scopes: []string{"use"}, Expires: time.Now().Add(time.Hour)}
}

func urls(t testing.TB, all ...string) (parsed []*url.URL) {
	t.Helper()
	for _, s := range all {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, u)
	}
	return parsed
}

// serve runs an upstream until the test's end.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	return ts
}

// request is one with the canary.
func (f *front) request(t testing.TB, method, path, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+canary)
	switch method { // what they are for where messages are decided on
	case http.MethodGet:
		req.Header.Set("Accept", "text/event-stream")
	case http.MethodDelete:
		f.began(t, "held", somebody())
		req.Header.Set(headerSession, "held")
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// began has a session of the caller's on each route, at its last upstream.
func (f *front) began(t testing.TB, id string, c *verify.Caller) {
	t.Helper()
	for _, r := range f.routes {
		if _, err := f.sessions.Bind(t.Context(), binding.KeyOf(byHeader, r.Path, id), binding.Binding{Owner: ownerOf(c), Upstream: r.upstreams[len(r.upstreams)-1].url.String()}); err != nil {
			t.Fatal(err)
		}
	}
}

// do sends req and returns the answer with its body read.
func (f *front) do(t testing.TB, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

const callEcho = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
