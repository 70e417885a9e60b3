package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// gateExplanation is the answer. Its field names are the JSON output.
type gateExplanation struct {
	Method    string     `json:"method"`
	URL       string     `json:"url"` // without query
	Route     string     `json:"route,omitempty"`
	File      string     `json:"file,omitempty"`
	Line      int        `json:"line,omitempty"`
	Upstreams []string   `json:"upstreams,omitempty"`
	Host      string     `json:"host,omitempty"` // that they get in place of the client's
	Mode      string     `json:"mode,omitempty"`
	Needs     *gateNeeds `json:"needs,omitempty"` // of the route; nothing in it: any scope or role

	Tool     string     `json:"tool,omitempty"`
	Resource string     `json:"resource,omitempty"`
	Prompt   string     `json:"prompt,omitempty"`
	Grant    *gateGrant `json:"grant,omitempty"`   // that decides on it
	Default  string     `json:"default,omitempty"` // deny or allow, where no grant names it

	Caller    string `json:"caller,omitempty"`
	Outcome   string `json:"outcome,omitempty"` // pass, refuse or answer; "" where no caller was named
	Denied    string `json:"denied,omitempty"`  // why, as metrics and the audit log say it
	Status    int    `json:"status,omitempty"`
	Challenge string `json:"challenge,omitempty"` // WWW-Authenticate
	Says      string `json:"says,omitempty"`

	Gets *gateGets `json:"gets,omitempty"` // upstream, of the caller

	Note string `json:"note,omitempty"` // what keeps clients from signing in
}

type gateNeeds struct {
	Scopes []string `json:"scopes,omitempty"`
	Roles  []string `json:"roles,omitempty"`
}

type gateGrant struct {
	Pattern string    `json:"pattern"`
	File    string    `json:"file"`
	Line    int       `json:"line"`
	Needs   gateNeeds `json:"needs"`
}

// explainGate has the gate itself decide.
func explainGate(cfg *config.Gate, q gateQuestion) (*gateExplanation, error) {
	e := &gateExplanation{Method: q.method, URL: q.url.String(), Caller: q.caller.who()}
	seen, res, upstreams, err := rehearse(cfg, q)
	if err != nil {
		return nil, err
	}
	e.Upstreams = upstreams
	for i, r := range cfg.Routes {
		if r.Path == seen.Route {
			e.route(r)
			e.Gets = getsOf(r, q.caller != nil && q.caller.anonymous)
			e.Note = refusedByEntra(cfg, r)
			e.named(r, gateRoutes(cfg)[i].Judge(q.kind, q.name, q.caller.caller(cfg)), q)
		}
	}
	if q.caller != nil || seen.Route == "" {
		e.decided(seen, res)
	}
	if e.Outcome == "refuse" || e.Outcome == "answer" {
		e.Gets = nil // no upstream is asked
	}
	return e, nil
}

// refusedByEntra says that clients which sign in by the metadata of a route will
// not get a token: they name the route's URL as resource (RFC 8707), and Entra
// takes nothing there but an App ID URI of the application that the scopes are of.
func refusedByEntra(cfg *config.Gate, r config.GateRoute) string {
	resource := cfg.PublicURL.Scheme + "://" + cfg.PublicURL.Host + strings.TrimSuffix(r.Path, "/")
	if cfg.Entra.Shim || len(r.Scopes) == 0 || cfg.Entra.AppIDURI == resource {
		return ""
	}
	return "MCP clients that sign in by the metadata send resource=" + resource + ", and Entra refuses that (AADSTS9010010) " +
		"unless it is the App ID URI: set shim = true, or app_id_uri to it, in the registration, too. Clients with a token of their own are not concerned"
}

// rehearse sends the request to a gate that passes nothing on.
func rehearse(cfg *config.Gate, q gateQuestion) (seen *gate.Request, res *rehearsal, upstreams []string, err error) {
	o := gateOptions(cfg)
	asIfExchanged(cfg, o.Routes)
	o.Log = slog.New(slog.DiscardHandler)
	o.Verify = func(context.Context, string) (*verify.Caller, error) { return q.caller.caller(cfg), nil }
	g, err := gate.New(o)
	if err != nil {
		return nil, nil, nil, err
	}
	res = &rehearsal{header: http.Header{}}
	seen, to := g.Explain(res, q.request())
	for _, u := range to {
		upstreams = append(upstreams, u.String())
	}
	return seen, res, upstreams, nil
}

// request is what an MCP client would send.
func (q gateQuestion) request() *http.Request {
	r := &http.Request{
		Method: q.method, URL: q.url, RequestURI: q.url.EscapedPath(), Host: q.url.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Header: http.Header{"Accept": {"application/json, text/event-stream"}},
	}
	r = r.WithContext(context.Background())
	asked := *q.url
	asked.Scheme, asked.Host = "", "" // as a server reads it
	r.URL = &asked
	if q.caller != nil && !q.caller.anonymous {
		r.Header.Set("Authorization", "Bearer imagined")
	}
	if q.method == http.MethodPost {
		body := q.message()
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// message asks for the tool, resource or prompt; without one it begins a session.
func (q gateQuestion) message() []byte {
	method, params := "initialize", map[string]string{}
	switch q.kind {
	case gate.Tool:
		method, params["name"] = "tools/call", q.name
	case gate.Resource:
		method, params["uri"] = "resources/read", q.name
	case gate.Prompt:
		method, params["name"] = "prompts/get", q.name
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) // strings always marshal
	return body
}

// route fills in what the route says.
func (e *gateExplanation) route(r config.GateRoute) {
	e.Route, e.File, e.Line, e.Host, e.Mode = r.Path, r.Pos.File, r.Pos.Line, r.Host, r.Mode
	e.Needs = &gateNeeds{r.Scopes, r.Roles}
}

// named fills in what decides on the tool, resource or prompt.
func (e *gateExplanation) named(r config.GateRoute, decision gate.Decision, q gateQuestion) {
	grants := r.Tools
	switch q.kind {
	case "":
		return
	case gate.Tool:
		e.Tool = q.name
	case gate.Resource:
		e.Resource, grants = q.name, r.Resources
	case gate.Prompt:
		e.Prompt, grants = q.name, r.Prompts
	}
	for _, g := range grants {
		if g.Pattern == decision.Pattern {
			e.Grant = &gateGrant{g.Pattern, g.Pos.File, g.Pos.Line, gateNeeds{g.Scopes, g.Roles}}
			return
		}
	}
	if e.Default = "deny"; r.Allow {
		e.Default = "allow"
	}
}

// decided fills in what the gate does.
func (e *gateExplanation) decided(seen *gate.Request, res *rehearsal) {
	e.Outcome, e.Denied = "pass", seen.Denied
	if seen.Allowed {
		return
	}
	if e.Outcome = "refuse"; res.status < 400 && seen.Denied == "" {
		e.Outcome = "answer"
	}
	e.Status, e.Challenge, e.Says = res.status, res.header.Get("WWW-Authenticate"), res.says()
}

// rehearsal is an answer that nobody gets.
type rehearsal struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *rehearsal) Header() http.Header         { return r.header }
func (r *rehearsal) WriteHeader(status int)      { r.status = status }
func (r *rehearsal) Write(p []byte) (int, error) { return r.body.Write(p) }

// says is the text of a JSON-RPC error or of a problem document.
func (r *rehearsal) says() string {
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Hint   string `json:"hint"`
	}
	if json.Unmarshal(r.body.Bytes(), &said) != nil {
		return ""
	}
	if said.Error.Message != "" {
		return said.Error.Message
	}
	text := said.Title
	if said.Detail != "" {
		text += ": " + said.Detail
	}
	if said.Hint != "" {
		text += ". " + said.Hint
	}
	return text
}
