package gate

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// servedAuthorities are the values of Host that are served, in canonical form.
func servedAuthorities(public *url.URL, further []string) map[string]bool {
	served := map[string]bool{canonical(public.Host, public.Scheme): true}
	for _, host := range further {
		served[canonical(host, public.Scheme)] = true
	}
	return served
}

// canonical is an authority in lower case, without the scheme's own port and the
// dot that ends a full name.
func canonical(authority, scheme string) string {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]"), ""
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(host, port)
}

// hosted refuses a request that is for another host: a web page whose name was
// made to mean our address sends its own (DNS rebinding), and the upstream, which
// gets Host as it is, may serve more than what is behind the gate.
func (g *Gate) hosted(x *exchange) bool {
	named := x.r.Header["Host"] // in HTTP/2, beside :authority
	if x.r.Host == "" || len(named) > 1 || len(named) == 1 && !strings.EqualFold(named[0], x.r.Host) {
		x.refuse(answer{status: http.StatusBadRequest, kind: "host", title: "The request has not exactly one Host", denied: deniedHost})
		return false
	}
	delete(x.r.Header, "Host")
	if g.served[canonical(x.r.Host, g.o.PublicURL.Scheme)] {
		return true
	}
	x.refuse(answer{
		status: http.StatusMisdirectedRequest, kind: "host", title: "The request is for another host", denied: deniedHost,
		hint: "Clients have to use public_url; further names are listed in hosts, in gate.toml",
	})
	return false
}
