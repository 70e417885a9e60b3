package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// describe answers with what the upstream saw.
func describe(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s host=%s token=%s", r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Get("X-Token"))
}

func get(t testing.TB, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
	fatal(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	fatal(t, err)
	return res, string(b)
}

func TestRuleTunnelAndForward(t *testing.T) {
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", upstream, http.HandlerFunc(describe))
		other := origins.startUpstream(t, "other.test", upstream, http.HandlerFunc(describe))
		prefix := "https://" + api + "/v1"
		w := newWorld(t, origins, worldOptions{prefixes: []string{prefix}})
		c := w.client(client)
		spoken := "HTTP/1.1"
		if client == "h2" && upstream == "h2" {
			spoken = "HTTP/2.0"
		}

		res, body := get(t, c, "https://"+api+"/v1/x?q=1")
		if want := spoken + " GET /v1/x?q=1 host=" + api + " token=" + prefix; body != want {
			t.Errorf("under the prefix: upstream saw %q, want %q", body, want)
		}
		if !strings.Contains(res.TLS.PeerCertificates[0].Issuer.String(), "injectproxy") {
			t.Errorf("certificate of an intercepted host: issuer %s", res.TLS.PeerCertificates[0].Issuer)
		}
		_, body = get(t, c, "https://"+api+"/v2/x")
		if want := spoken + " GET /v2/x host=" + api + " token="; body != want {
			t.Errorf("under no prefix: upstream saw %q, want %q", body, want)
		}
		if client == "h2" && upstream == "h1" {
			return // nobody translates inside a tunnel
		}
		res, body = get(t, c, "https://"+other+"/v1/x")
		if !strings.HasSuffix(body, "token=") {
			t.Errorf("tunnelled: upstream saw %q", body)
		}
		if got := res.TLS.PeerCertificates[0].Issuer.CommonName; got != "origins" {
			t.Errorf("certificate of a tunnelled host: issuer %s", got)
		}
	})
}
