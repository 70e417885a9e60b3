package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// publicURL reads the origin that clients see. Nothing else is guessed from
// what they send, so it has to be there. It is nil if it is not.
func (t *table) publicURL(key string) *url.URL {
	s := t.str(key, "")
	if !t.has(key) {
		t.errorf(t.at(), "there is no %s", key).hint(`the origin that clients see, such as public_url = "https://mcp.corp.example": metadata and challenges name it`)
	}
	if !t.isString(key) {
		return nil
	}
	u, problem := parseOrigin(s)
	at := t.at(key)
	switch {
	case problem != "":
		p := t.errorf(at, "%s %s", key, problem)
		p.hint(`the origin that clients see, such as "https://mcp.corp.example"`)
		if strings.Contains(problem, "path") {
			p.hint("the origin alone: each [[route]] has its path")
		}
		return nil
	case u.Scheme != "https" && u.Scheme != "http":
		t.errorf(at, "%s must be an https URL", key)
		return nil
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		t.errorf(at, "%s is http: tokens would travel in the clear, and clients refuse metadata that is not https", key).
			hint("https, even where something in front of the gate ends TLS")
		return nil
	case isLoopback(u.Hostname()):
		t.warnf(at, "%s is on this machine alone: clients elsewhere are sent to themselves for the metadata", key).
			hint("the name by which clients reach the gate; for a trial on one machine it is right")
	}
	return u
}

// parseOrigin returns an absolute URL that has a scheme and a host and nothing
// else, as browsers write it: in lower case, a default port left out. The
// problem repeats nothing of s, which may hold a password.
func parseOrigin(s string) (u *url.URL, problem string) {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	host, path := rest, ""
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	switch {
	case !ok || !isScheme(scheme):
		return nil, "is not an absolute URL"
	case strings.ContainsAny(path, "?#"):
		return nil, "has a query or a fragment"
	case path != "" && path != "/":
		return nil, "has a path"
	}
	authority, err := match.Authority(host)
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "authority ")
	}
	return &url.URL{Scheme: scheme, Host: withoutDefault(scheme, host, authority)}, ""
}

// withoutDefault is the canonical authority of host without the default port of
// scheme. An authority has port 443 where host has none.
func withoutDefault(scheme, host, authority string) string {
	bare, port, _ := net.SplitHostPort(authority) // canonical: it splits
	if strings.Contains(bare, ":") {
		bare = "[" + bare + "]"
	}
	written := strings.HasSuffix(strings.TrimSuffix(host, "."), ":"+port)
	if !written || defaultPort(scheme) == port {
		return bare
	}
	return bare + ":" + port
}

func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

func isScheme(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' && only(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("+-.", c) >= 0 })
}

// isLoopback reports whether a host is this machine for whoever reads it.
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hosts reads values of Host that are served besides that of public_url.
func (t *table) hosts(key string) []string {
	var hosts []string
	for i, s := range t.list(key) {
		at := t.elementAt(key, i)
		if _, err := match.Authority(s); err != nil || strings.ContainsAny(s, "/*") {
			t.errorf(at, "%s: %s is not a host, with or without a port", key, show(s)).hint(`as clients send it in Host: "mcp.internal" or "10.0.0.7:8080", no scheme, no *`)
			continue
		}
		if host := strings.ToLower(strings.TrimSuffix(s, ".")); slices.Contains(hosts, host) {
			t.errorf(at, "%s: %s stands there twice", key, show(s))
		} else {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// upstreamHost reads the Host that servers get; "" leaves the client's.
func (t *table) upstreamHost(key string) string {
	s := t.str(key, "")
	if _, err := match.Authority(s); s != "" && (err != nil || strings.ContainsAny(s, "/*")) {
		t.errorf(t.at(key), "%s: %s is not a host, with or without a port", key, show(s)).hint(`as the server knows itself: "localhost:9000" or "mcp.internal", no scheme, no *`)
	}
	return s
}

// origins reads the values of Origin that a route serves.
func (t *table) origins(key string) []string {
	var origins []string
	for i, s := range t.list(key) {
		at := t.elementAt(key, i)
		u, problem := parseOrigin(s)
		switch {
		case s == "*":
			t.errorf(at, `%s: "*" would let every page that a user opens call the tools with their token`, key).hint("name each origin")
		case s == "null":
			t.errorf(at, `%s: "null" is what every sandboxed frame and every local file sends`, key).hint("name each origin")
		case problem != "":
			t.errorf(at, "%s: %s %s", key, show(s), problem).hint(`scheme://host or scheme://host:port, as browsers send it: "https://app.corp.example"`)
		case strings.HasSuffix(s, "/"):
			t.errorf(at, "%s: %s ends in a slash, and no browser sends one", key, show(s)).hint("write %q", u.Scheme+"://"+u.Host)
		case slices.Contains(origins, u.Scheme+"://"+u.Host):
			t.errorf(at, "%s: %s stands there twice", key, show(s))
		default:
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
	}
	return origins
}

// reaches reports whether requests for u come out at a port that listens on addr
// of this machine, as far as that can be told without asking the network.
func reaches(u *url.URL, addr string) bool {
	host, port, _ := net.SplitHostPort(addr)
	to := u.Port()
	if to == "" {
		to = defaultPort(u.Scheme)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != to {
		return false
	}
	return isLoopback(u.Hostname()) && coversLoopback(host) || host != "" && strings.EqualFold(u.Hostname(), host)
}

// coversLoopback reports whether a listener on host is reached by loopback.
func coversLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || isLoopback(host) || err == nil && addr.Unmap().IsUnspecified()
}

// overlap reports whether two listeners want the same port of the same address.
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	if portA != portB || portA == "0" {
		return false
	}
	return isWildcard(hostA) || isWildcard(hostB) || strings.EqualFold(hostA, hostB)
}

func isWildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.Unmap().IsUnspecified()
}
