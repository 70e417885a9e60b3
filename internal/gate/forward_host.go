package gate

import (
	"bytes"
	"io"
	"net/http"
)

// mostOverheard is how much of a refusal is looked at.
const mostOverheard = 4 << 10

// overhear has the log say, once for each upstream, that it may have refused the
// Host that clients send: servers on loopback do, to be safe from pages that rebind
// names, and say so to clients alone, who cannot mend it.
func (g *Gate) overhear(x *exchange, res *http.Response) {
	refused := res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusMisdirectedRequest
	if !refused || x.route.UpstreamHost != "" || res.Body == http.NoBody || x.upstream.refuses.Load() {
		return
	}
	res.Body = &overheard{ReadCloser: res.Body, host: func() {
		if x.upstream.refuses.CompareAndSwap(false, true) {
			g.o.Log.Warn("the MCP server refused a request and names its Host; if it serves its own name alone, set upstream_host of the route",
				"route", x.route.Path, "upstream", x.upstream.url.Host, "status", res.StatusCode)
		}
	}}
}

// overheard is the body of a refusal that may mention the Host. It passes as it
// comes.
type overheard struct {
	io.ReadCloser
	said []byte // in lower case
	host func() // nil once it was called
}

// Read implements [io.Reader].
func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if o.host == nil || len(o.said) >= mostOverheard {
		return n, err
	}
	o.said = append(o.said, bytes.ToLower(p[:min(n, mostOverheard-len(o.said))])...)
	if bytes.Contains(o.said, []byte("host")) {
		o.host()
		o.host = nil
	}
	return n, err
}
