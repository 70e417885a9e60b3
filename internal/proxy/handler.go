package proxy

import (
	"net/http"
	"net/url"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// serveIntercepted handles a request that came out of an intercepted CONNECT.
func (p *Proxy) serveIntercepted(w http.ResponseWriter, r *http.Request) {
	target := r.Context().Value(pinnedKey{}).(*pinnedConn).connect
	authority := target.authority
	rec := &record.Record{Start: time.Now(), Client: target.client, Method: r.Method, Authority: authority}
	out := p.newResponse(w, r, rec)
	if p.o.Done != nil {
		defer func() {
			rec.Bytes += out.upgraded.Load()
			p.o.Done(rec)
		}()
	}
	rawPath, a := screenRequest(r, authority)
	rec.Path = rawPath
	var x *exchange
	if a == nil {
		rules := p.reigning()
		defer rules.leave()
		x, a = p.choose(rules.Rules, rec, r, rawPath)
	}
	if p.o.Began != nil {
		p.o.Began(rec, r.Header)
	}
	if a != nil {
		out.answer(a, r)
		return
	}
	p.forward(record.NewContext(r.Context(), rec), out, r, x)
}

// choose picks the route of a request.
func (p *Proxy) choose(rules *Rules, rec *record.Record, r *http.Request, rawPath string) (*exchange, *Answer) {
	x := &exchange{route: p.o.Upstream, upstream: rec.Authority, host: r.Host, url: target(r.URL, rec.Authority, rawPath)}
	// What the CONNECT was let through for may have changed since.
	if a := rules.Refused[rec.Authority]; a != nil {
		return nil, a
	}
	if p.o.RulesOnly && !rules.names(rec.Authority, rec.Client) {
		return nil, unlisted(rec.Authority)
	}
	v := rules.Table.Lookup(rec.Authority, r.Method, rawPath)
	if v.Rule < 0 {
		return x, nil
	}
	route := rules.Routes[v.Rule]
	rec.Rule, rec.Team, rec.Kind = route.Name, route.Team, route.Kind
	if !rules.may(rec.Client, v.Rule) {
		return nil, &Answer{
			Status: http.StatusForbidden, Type: "rule-of-others", Title: "This client may not use this rule", Reason: "http_request_denied", Final: true,
			Detail: "The request is under a rule that is not among those of client " + rec.Client + ". Nothing was sent.",
			Hint:   "Have the rule added to [access.client." + rec.Client + "] in config.toml.",
		}
	}
	if r.Method == http.MethodTrace {
		return nil, &Answer{
			Status: http.StatusMethodNotAllowed, Type: "trace-refused", Title: "TRACE is refused where a token is attached", Reason: "http_request_denied", Final: true,
			Detail: "The answer to TRACE would show the token to the client.",
			Hint:   "Use another method, or a path that no rule covers.",
		}
	}
	x.route = route
	return x, nil
}

// target returns u as the URL of an upstream, whose path is sent as it came.
func target(u *url.URL, authority, rawPath string) url.URL {
	out := *u
	out.Scheme, out.Host = "https", authority
	if rawPath != "*" && u.EscapedPath() != rawPath {
		// The Transport would normalise it. An opaque path that begins with
		// a single slash is sent as it is.
		out.Opaque = rawPath
	}
	return out
}
