package gate

import (
	"net/http"
	"strings"
	"testing"
)

// TestUpstreamHostTakesThePlaceOfTheClientsUpstreamAlone holds of Host, while what
// the gate says of the client's stays, and the client's is still judged.
func TestUpstreamHostTakesThePlaceOfTheClientsUpstreamAlone(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		upstream := serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+r.Host+"/there")
			w.Header().Set("X-Seen", r.Host+" "+r.Header.Get("X-Forwarded-Host"))
			w.WriteHeader(http.StatusSeeOther)
		})
		f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Protocol: wire.up, UpstreamHost: "localhost:9000"}}}, upstream.URL).over(t, wire.down)
		own := strings.TrimPrefix(f.url, "http://")
		res, _ := f.do(t, f.request(t, "GET", "/", ""))
		if got := res.Header.Get("X-Seen"); got != "localhost:9000 "+own || res.Header.Get("Location") != f.url+"/there" {
			t.Errorf("%v: the server sees %q, and sends to %s", wire, got, res.Header.Get("Location"))
		}
		req := f.request(t, "GET", "/", "")
		req.Host = "localhost:9000"
		if res, _ := f.do(t, req); res.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%v: a client that names it gets %s", wire, res.Status)
		}
	}
}
