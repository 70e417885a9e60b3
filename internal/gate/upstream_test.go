package gate

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnUpstreamIsSpokenToInTheProtocolThatIsConfigured(t *testing.T) {
	t.Parallel()
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+r.Host) })
	both, old := httptest.NewUnstartedServer(says), httptest.NewUnstartedServer(says)
	both.EnableHTTP2 = true
	for _, s := range []*httptest.Server{both, old} {
		s.Config.ErrorLog = discard()
		s.StartTLS()
		t.Cleanup(s.Close)
	}
	clear := serveBoth(t, says)
	trust := both.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = nil
	for _, c := range []struct {
		protocol, url, want string
		trust               *tls.Config
	}{
		{"auto", both.URL, "HTTP/2.0", trust}, {"1.1", both.URL, "HTTP/1.1", trust}, {"2", both.URL, "HTTP/2.0", trust}, {"", both.URL, "HTTP/2.0", trust},
		{"auto", old.URL, "HTTP/1.1", trust}, {"2", old.URL, "502", trust}, {"auto", clear.URL, "HTTP/1.1", nil}, {"h2c", clear.URL, "HTTP/2.0", nil},
		{"auto", both.URL, "502", nil}, // nobody vouches for its certificate
		{"auto", strings.Replace(both.URL, "127.0.0.1", "localhost", 1), "502", trust}, // that is another's
		{"auto", "https://" + clear.Listener.Addr().String(), "502", trust},            // no TLS there
	} {
		f := stand(t, Options{Upstream: c.trust, Routes: []Route{{Path: "/", Allow: true, Protocol: c.protocol}}}, c.url)
		res, got := f.do(t, f.request(t, "POST", "/", callEcho))
		if res.StatusCode == http.StatusBadGateway {
			got = "502"
		}
		if want := strings.TrimSpace(c.want + " " + strings.TrimPrefix(f.url, "http://")); got != want && (c.want != "502" || got != "502") {
			t.Errorf("%s to %s: %q, want %q", c.protocol, c.url, got, want)
		}
	}
}

func TestNoProxyOfTheEnvironmentStandsBeforeAnUpstream(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"auto", "1.1", "2", "h2c"} {
		if newTransport(nil, protocol).Proxy != nil {
			t.Errorf("%s would ask a proxy", protocol)
		}
	}
}
