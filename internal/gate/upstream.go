package gate

import (
	"io"
	"net/http"
	"net/url"
)

// upstream is one server of a route, and the connections to it.
type upstream struct {
	url       *url.URL
	transport http.RoundTripper
}

func (g *Gate) upstreams(r Route) (all []*upstream) {
	for _, u := range r.Upstreams {
		all = append(all, &upstream{url: u, transport: &http.Transport{TLSClientConfig: g.o.Upstream}})
	}
	return all
}

// forward sends the request upstream and its answer downstream.
func (g *Gate) forward(x *exchange) {
	out := x.r.Clone(x.r.Context())
	u := x.route.upstreams[0]
	out.URL.Scheme, out.URL.Host, out.RequestURI = u.url.Scheme, u.url.Host, ""
	out.Header.Del("Authorization")
	res, err := u.transport.RoundTrip(out)
	if err == nil {
		err = g.receive(x, res)
	}
	if err != nil {
		x.refuse(answer{status: http.StatusBadGateway, kind: "upstream-unreachable", title: "The MCP server cannot be reached"})
		return
	}
	defer res.Body.Close()
	x.w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(x.w, res.Body)
}

// receive has the other stages see to an answer of the upstream. Each may change
// its header and its body; an error means that it must not go downstream.
func (g *Gate) receive(x *exchange, res *http.Response) error {
	g.bind(x, res)
	if err := g.screen(x, res); err != nil {
		return err
	}
	g.keep(x, res)
	return nil
}
