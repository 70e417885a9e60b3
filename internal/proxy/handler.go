package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// exchange is one request on its way through the proxy.
type exchange struct {
	route    http.RoundTripper
	rawPath  string // as the client sent it, without the query
	body     *bodyWatch
	upstream string // authority
}

type exchangeKey struct{}

func exchangeFrom(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

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
	r = r.WithContext(record.NewContext(r.Context(), rec))
	if !r.ProtoAtLeast(1, 1) {
		defer out.breakOff()
	}
	defer out.settle()
	p.reverse.ServeHTTP(out, x.carry(r, out))
}

// carry returns r with x in its context and its body watched, also for the
// way back.
func (x *exchange) carry(r *http.Request, out *response) *http.Request {
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &bodyWatch{ReadCloser: r.Body, trailer: screenTrailer(r.Trailer)}
		r.Body = x.body
		out.body = x.body
	}
	return r
}

// choose picks the route of a request.
func (p *Proxy) choose(rules *Rules, rec *record.Record, r *http.Request, rawPath string) (*exchange, *Answer) {
	x := &exchange{route: p.o.Upstream, rawPath: rawPath, upstream: rec.Authority}
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

// failed answers a request whose route returned err.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeFrom(r.Context())
	a := answerFor(err, x.upstream)
	if x.body != nil && !isAnswer(err) {
		if broken := x.body.failed.Load(); broken != nil {
			a = malformedBody(*broken)
		}
	}
	if r.Context().Err() == nil && a.Err != nil {
		p.o.Log.Debug("upstream failed", "authority", x.upstream, "error", a.Err.Error())
	}
	out := w.(*response)
	out.unread = r.Context().Err() != nil && p.base.Err() == nil // the client has left
	out.answer(a, r)
}

func isAnswer(err error) bool {
	_, ok := errors.AsType[*Answer](err)
	return ok
}
