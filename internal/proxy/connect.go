package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/net/http/httpguts"

	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/record"
)

type admitKey struct{}

// withPeer remembers how the requests of c are judged.
func (p *Proxy) withPeer(ctx context.Context, c net.Conn) context.Context {
	return withHTTP1(context.WithValue(ctx, admitKey{}, p.o.Admit(c)), c)
}

// nobody admits no request.
func nobody(net.Conn) func([]string) (string, error) {
	return func([]string) (string, error) { return "", errors.New("this proxy admits nobody") }
}

// connect is what a CONNECT asks for.
type connect struct {
	authority string // canonical host:port
	named     bool   // by a rule, when the CONNECT came: rules may change at any time
	client    string // its name, "" if it has none
	via       string // Via field for the upstream proxy
}

type connectKey struct{}

func connectFrom(ctx context.Context) connect {
	c, _ := ctx.Value(connectKey{}).(connect)
	return c
}

// serveDoor handles what clients send to the proxy port itself.
func (p *Proxy) serveDoor(w http.ResponseWriter, r *http.Request) {
	client, err := p.admit(r)
	if err != nil {
		refuse(w, r, notAdmitted(err))
		return
	}
	if a := p.o.Dialer.cameBack(r); a != nil {
		refuse(w, r, a)
		return
	}
	switch {
	case r.Method == http.MethodConnect:
		p.serveConnect(w, r, client)
	case r.URL.Scheme == "http" && r.URL.Host != "" && p.o.RulesOnly:
		refuse(w, r, unlisted(r.URL.Host)) // rules are for https
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.servePlain(w, r)
	case r.URL.IsAbs():
		refuse(w, r, &Answer{
			Status: http.StatusBadRequest, Type: "cleartext-https", Title: "Only CONNECT reaches https URLs here", Reason: "http_request_error", Final: true,
			Detail: "The request for a URL of another scheme than http was sent to the proxy in the clear.",
			Hint:   "Configure this address as the HTTPS proxy of the client (HTTPS_PROXY), so that it uses CONNECT.",
		})
	default:
		refuse(w, r, &Answer{
			Status: http.StatusMethodNotAllowed, Type: "not-a-proxy-request", Title: "This is a proxy, not a web server", Reason: "http_request_error", Final: true,
			Detail: "The request names no host to go to.",
			Hint:   "Configure this address as the HTTPS proxy of the client (HTTPS_PROXY).",
		})
	}
}

// refuse sends a to a client that may still be sending its request.
func refuse(w http.ResponseWriter, r *http.Request, a *Answer) {
	(&response{ResponseWriter: w, rec: new(record.Record), http1: true, body: watch(r)}).answer(a, r)
}

// notAdmitted is the answer to a client that may not use the port because of
// err. Telling whose process it is takes a free descriptor: without one nothing
// is known against the client, and it must not ask its user for a password.
func notAdmitted(err error) *Answer {
	if outOfDescriptors(err) {
		return &Answer{
			Status: http.StatusServiceUnavailable, Type: "out-of-descriptors", Title: "This proxy can open no more connections", Reason: "connection_limit_reached",
			Detail: "The limit of open files is reached, and whose process the client is cannot be told.",
			Hint:   "Raise the limit (ulimit -n, or LimitNOFILE= of a systemd unit), or close what nobody uses.",
		}
	}
	return &Answer{
		Status: http.StatusProxyAuthRequired, Type: "credential-needed", Title: "This proxy needs a credential", Reason: "http_request_denied",
		Detail: "Not admitted: " + err.Error() + ".",
		Hint:   "Put the credential into the proxy's URL: http://injectproxy:CREDENTIAL@HOST:PORT. It is in the file credential of injectproxy's home.",
	}
}

// unlisted refuses a host that no rule names.
func unlisted(authority string) *Answer {
	return &Answer{
		Status: http.StatusForbidden, Type: "no-rule", Title: "No rule names this destination", Reason: "http_request_denied", Final: true,
		Detail: authority + " is in no rule that this client may use, and this proxy reaches nothing else for it.",
		Hint:   `Reach it without the proxy (NO_PROXY), or have tunnel.allow = "all" set.`,
	}
}

// admit returns which client r is from, "" for one without a name, or why it
// may not use the port.
func (p *Proxy) admit(r *http.Request) (client string, err error) {
	judge := r.Context().Value(admitKey{}).(func([]string) (string, error))
	return judge(r.Header["Proxy-Authorization"])
}

// serveConnect decides on a CONNECT and gives it to goproxy.
func (p *Proxy) serveConnect(w http.ResponseWriter, r *http.Request, client string) {
	authority, err := connectAuthority(r)
	if err != nil {
		a := malformed(http.StatusBadRequest, "")
		a.Detail = "The target of CONNECT is not a valid host:port."
		refuse(w, r, a)
		return
	}
	rules := p.rules.Load().Rules
	if a := rules.Refused[authority]; a != nil {
		refuse(w, r, a)
		return
	}
	named := rules.Table.Intercepts(authority)
	if p.o.RulesOnly && !rules.names(authority, client) {
		refuse(w, r, unlisted(authority))
		return
	}
	ctx := context.WithValue(r.Context(), connectKey{}, connect{authority, named, client, p.o.Dialer.chain(r)})
	p.goproxy.ServeHTTP(&hijacker{w}, r.WithContext(ctx))
}

// connectAuthority returns the authority of a CONNECT, whose target must name
// a port (RFC 9110, section 9.3.6): canonical where it has such a form. A host
// that has none can be in no rule, and is tunnelled as it was written.
func connectAuthority(r *http.Request) (string, error) {
	host, port, err := net.SplitHostPort(r.RequestURI)
	if err != nil {
		return "", err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || !httpguts.ValidHostHeader(r.RequestURI) {
		return "", &net.AddrError{Err: "not host:port", Addr: r.RequestURI}
	}
	if authority, err := match.Authority(r.RequestURI); err == nil {
		return authority, nil
	}
	return r.RequestURI, nil
}

// hijacker gives goproxy the connection with the bytes that arrived in the
// same segment as the CONNECT, which its own use of Hijack would drop.
type hijacker struct {
	http.ResponseWriter
}

// Unwrap serves [http.ResponseController].
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }
