package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/record"
)

// exchange is one intercepted request on its way through the handler.
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
	authority := r.Context().Value(pinnedKey{}).(*pinnedConn).authority
	rec := &record.Record{Start: time.Now(), Method: r.Method, Authority: authority}
	out := &response{ResponseWriter: w, rec: rec, hijacks: &p.hijacks}
	if p.o.Done != nil {
		defer func() { p.o.Done(rec) }()
	}
	rawPath, a := screenRequest(r, authority)
	rec.Path = rawPath
	var x *exchange
	if a == nil {
		x, a = p.choose(rec, r, rawPath)
	}
	if a != nil {
		out.answer(a, r)
		return
	}
	ctx := record.NewContext(context.WithValue(r.Context(), exchangeKey{}, x), rec)
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &bodyWatch{ReadCloser: r.Body}
		r.Body = x.body
	}
	p.reverse.ServeHTTP(out, r)
}

// choose picks the route of a request.
func (p *Proxy) choose(rec *record.Record, r *http.Request, rawPath string) (*exchange, *Answer) {
	rules := p.rules.Load()
	x := &exchange{route: p.o.Upstream, rawPath: rawPath, upstream: rec.Authority}
	v := rules.Table.Lookup(rec.Authority, r.Method, rawPath)
	if v.Rule < 0 {
		return x, nil
	}
	route := rules.Routes[v.Rule]
	rec.Rule, rec.Team, rec.Kind = route.Name, route.Team, route.Kind
	if r.Method == http.MethodTrace {
		// Its answer would show the token to the client.
		return nil, &Answer{
			Status: http.StatusMethodNotAllowed, Type: "trace-refused", Title: "TRACE is refused where a token is attached", Reason: "http_request_denied", Final: true,
		}
	}
	x.route = route
	return x, nil
}

// screenRequest returns the path of r as it was sent, or the answer to a
// request that is not meant for authority or that cannot be passed on as it
// is.
func screenRequest(r *http.Request, authority string) (rawPath string, a *Answer) {
	if r.Method == http.MethodConnect {
		return "", misdirected("CONNECT was sent inside a CONNECT.")
	}
	if r.Host == "" {
		a := malformed(http.StatusBadRequest, "")
		a.Detail = "It has no Host."
		return "", a
	}
	if got, err := match.Authority(r.Host); err != nil {
		a := malformed(http.StatusBadRequest, "")
		a.Detail = "Its Host is not a valid host or host:port."
		return "", a
	} else if got != authority {
		return "", misdirected("The request is for another host or port than the CONNECT it came through.")
	}
	target := r.RequestURI
	if r.URL.Host != "" || r.URL.IsAbs() { // absolute form
		if r.URL.Scheme != "https" {
			return "", misdirected("The request is for another scheme than https.")
		}
		if r.URL.User != nil {
			a := malformed(http.StatusBadRequest, "")
			a.Detail = "Its target has user information."
			return "", a
		}
		target = target[strings.Index(target, "://")+len("://"):]
		if i := strings.IndexAny(target, "/?#"); i >= 0 {
			target = target[i:]
		} else {
			target = ""
		}
	}
	rawPath, _, _ = strings.Cut(target, "?")
	if rawPath == "" {
		rawPath = "/"
	}
	if !forwardable(r, rawPath) {
		a := malformed(http.StatusBadRequest, "")
		a.Detail = "Its path has characters that cannot be passed on unchanged."
		return rawPath, a
	}
	return rawPath, nil
}

// forwardable reports whether the upstream can be sent rawPath byte for byte.
func forwardable(r *http.Request, rawPath string) bool {
	if rawPath == "*" {
		return r.Method == http.MethodOptions
	}
	if !strings.HasPrefix(rawPath, "/") || strings.Contains(r.RequestURI, "#") {
		return false
	}
	return rawPath == r.URL.EscapedPath() || !strings.HasPrefix(rawPath, "//")
}

func misdirected(detail string) *Answer {
	return &Answer{
		Status: http.StatusMisdirectedRequest, Type: "authority-mismatch", Title: "The request does not belong to this connection",
		Detail: detail, Reason: "http_request_error", Final: true,
	}
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
	w.(*response).answer(a, r)
}

func isAnswer(err error) bool {
	_, ok := errors.AsType[*Answer](err)
	return ok
}

// dropUpgrades removes upgrades that change the framing of the connection
// instead of the protocol inside it (RFC 9113, section 3.1: h2c is obsolete).
func dropUpgrades(h http.Header) {
	if httpguts.HeaderValuesContainsToken(h["Upgrade"], "h2c") {
		delete(h, "Upgrade")
	}
	delete(h, "Http2-Settings")
}
