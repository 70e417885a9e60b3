package gate

import (
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// stripped are the headers that say who the caller is, where a request comes
// from or what it really asks for, as the servers, proxies and frameworks spell
// them that would believe them. Names are in lower case.
var (
	stripped = []string{
		"authorization", "forwarded", "remote-user", "expect", "te", "trailer", "keep-alive", "connection", "transfer-encoding", "upgrade", "http2-settings",
		"x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "fastly-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "x-azure-clientip", "x-azure-socketip",
		"x-http-method", "x-http-method-override", "x-method-override", "x-rewrite-url", "x-url-scheme", "front-end-https",
		"x-access-token", "x-id-token", "x-jwt-assertion", "x-email", "x-group", "x-groups", "x-role", "x-roles", "x-sub", "x-login", "gap-auth", "x-gap-auth",
		"x-logged-in-user", "x-api-user", "x-mcp-user", "x-grafana-user", "x-host", "x-client-cn", "x-azure-fdid",
		"client-cert", "client-cert-chain", "x-client-cert", "x-client-dn", "x-client-verify", "x-arr-clientcert", "x-endpoint-api-userinfo", "x-apigateway-api-userinfo",
	}
	strippedPrefixes = []string{
		"proxy-", "remote-", "x-remote-", "x-forwarded-", "x-original-", "x-user", "x-auth-", "x-authenticated", "x-webauth-",
		"x-forward-", "x-proxy-", "x-identity", "x-principal", "x-subject", "x-current-user", "x-sso-", "impersonate-", "x-impersonate-", "sm-", "iv-", "oam-",
		"x-ms-client-principal", "x-ms-token-", "x-ms-user-", "x-ms-aad-", "x-goog-authenticated-", "x-goog-iap-", "x-amzn-oidc-", "x-amzn-mtls-", "cf-access-",
		"x-authentik-", "x-pomerium-", "x-vouch-", "x-consumer-", "x-credential-", "x-ssl-", "ssl-client-", "x-tls-", "x-envoy-", "tailscale-user-", "x-saml-", "x-oidc-", "oidc-", "x-jwt-",
	}
	// notStripped are credentials by such names: a server does not believe them, but checks them.
	notStripped = []string{"x-auth-token", "x-auth-key"}
)

// outgoing is what goes upstream of the header of r. A field that holds what the
// caller authenticates by, such as a cookie or a Referer, stays behind as a whole.
func (g *Gate) outgoing(r *http.Request, plain bool) http.Header {
	named, token := connectionNames(r.Header), shown(r.Header)
	tells := func(value string) bool { return holds(value, token) }
	h := make(http.Header, len(r.Header)+5)
	for name, values := range r.Header {
		if !staysBehind(name) && !g.identities[strings.ToLower(name)] && !slices.Contains(named, strings.ToLower(name)) && !slices.ContainsFunc(values, tells) {
			h[name] = values
		}
	}
	// By their usual names net/http would take these for leave to send a call twice.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	if !plain { // what comes back is read, and all of it
		h["Accept-Encoding"] = []string{"identity"}
		delete(h, "Range")
		delete(h, "If-Range")
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // or net/http would send its own
	}
	if client := peer(r); client != "" {
		h["X-Forwarded-For"] = []string{client}
	}
	h["X-Forwarded-Proto"] = []string{g.o.PublicURL.Scheme}
	h["X-Forwarded-Host"] = []string{r.Host}
	return h
}

// staysBehind reports whether a header of that name does not go upstream: it is
// for this hop, or believed by servers when only who stands in front of them should
// say it. A name with anything but letters, digits and hyphens is one that CGI and
// WSGI take for another with hyphens, and which could so bring what was removed
// under its own name.
func staysBehind(name string) bool {
	name = strings.ToLower(name)
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return true
		}
	}
	if slices.Contains(notStripped, name) {
		return false
	}
	return slices.Contains(stripped, name) ||
		slices.ContainsFunc(strippedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// connectionNames are the headers that Connection names (RFC 9110, section
// 7.6.1), in lower case.
func connectionNames(h http.Header) (names []string) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, strings.ToLower(textproto.TrimString(name)))
		}
	}
	return names
}

// answerHeader adds to h what goes downstream of from: nothing that holds the token
// which the server was shown. Where the gate speaks for the server in matters of CORS,
// the server is not heard.
func (x *exchange) answerHeader(h, from http.Header) {
	named := connectionNames(from)
	for name, values := range from {
		switch {
		case forThisHop(name), slices.Contains(named, strings.ToLower(name)), x.echoes(values):
		case len(x.route.Origins) > 0 && strings.HasPrefix(name, "Access-Control-"):
		case name == "Vary":
			h[name] = append(h[name], values...)
		default:
			h[name] = values
		}
	}
}

// forThisHop reports whether a field of an answer says something of the
// connection that it came by.
func forThisHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") && name != "Proxy-Status"
}

// relocate has a redirect of the upstream lead through the gate. Servers that
// know the Host only, and not what was in front of it, name it with http: a client
// would send its token there in the clear.
func (g *Gate) relocate(x *exchange, h http.Header) {
	u := x.upstream
	to, err := url.Parse(h.Get("Location"))
	if err != nil || h.Get("Location") == "" {
		return
	}
	if to.Host != "" {
		own := strings.EqualFold(to.Host, u.url.Host) || g.served[canonical(to.Host, to.Scheme)] ||
			strings.EqualFold(to.Host, x.r.Host) || strings.EqualFold(to.Host, x.route.UpstreamHost)
		if !own || to.Scheme != "http" && to.Scheme != "https" && to.Scheme != "" {
			return
		}
		to.Scheme, to.Host = g.o.PublicURL.Scheme, g.o.PublicURL.Host
	}
	if base := strings.TrimSuffix(u.url.Path, "/"); u.url.Path != "" && strings.HasPrefix(to.Path, "/") && covers(base, to.Path) {
		to.Path, to.RawPath = x.route.path()+strings.TrimPrefix(to.Path, base), ""
	}
	h.Set("Location", to.String())
}

// peer is the address that r came from, "" if that is not known.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
