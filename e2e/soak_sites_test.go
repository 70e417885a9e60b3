package e2e_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// site is a server that can be replaced by one that knows nothing.
type site struct {
	w      *world
	name   string
	admits func(bearer string) bool // nil: everybody
	build  func() (h http.Handler, forget func())

	server *httptest.Server
	forget func()
}

func (k *soak) site(name string, admits func(string) bool, build func() (http.Handler, func())) *site {
	s := &site{w: k.w, name: name, admits: admits, build: build}
	s.replace()
	k.t.Cleanup(s.stop)
	return s
}

// replace starts another server and ends the one that was there.
func (s *site) replace() {
	old := *s
	h, forget := s.build()
	s.forget = forget
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.admits != nil && r.URL.Path != "/beside" && !s.admits(bearerOf(r.Header)) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	s.server.EnableHTTP2 = true
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{s.w.cert}}
	s.server.Config.ErrorLog = quiet
	s.server.StartTLS()
	s.w.place(s.name+":443", s.server.Listener.Addr().String())
	old.stop()
}

// stop ends the server with whatever it was doing.
func (s *site) stop() {
	if s.server == nil {
		return
	}
	s.forget()
	s.server.CloseClientConnections()
	s.server.Close()
	s.server = nil
}

// mcpSite is a server of the Go SDK with a tool.
func mcpSite() (http.Handler, func()) {
	server := mcp.NewServer(&mcp.Implementation{Name: "soak", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in struct{ Text string }) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
	})
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true})
	return h, func() {
		for s := range server.Sessions() {
			s.Close()
		}
	}
}

// apiSite answers calls, and has a stream of events that does not end.
func apiSite() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", digest)
	mux.HandleFunc("/v1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: begun\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return mux
}

// talkative says what a model says, in pieces.
func talkative(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 50 {
		fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
		http.NewResponseController(w).Flush()
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}
