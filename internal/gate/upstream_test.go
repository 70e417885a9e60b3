package gate

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

func TestTheStateOfAnUpstreamIsWhatItDoesNow(t *testing.T) {
	t.Parallel()
	var f *front
	during := make(chan UpstreamState, 1)
	f = stand(t, Options{}, serve(t, func(http.ResponseWriter, *http.Request) { during <- f.Upstreams()[0] }).URL)
	f.routes[0].upstreams[0].failed.Store(time.Now().Add(-time.Hour).UnixNano())
	f.do(t, f.request(t, "GET", "/", ""))
	if s := <-during; s.InFlight != 1 || s.Failed.IsZero() {
		t.Errorf("in a request: %+v", s)
	}
	<-f.done
	if s := f.Upstreams()[0]; s.InFlight != 0 || !s.Failed.IsZero() {
		t.Errorf("behind it: %+v", s)
	}
}

func TestAnAnswersHeaderThatIsTooLargeIsNotTaken(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{maxHeaderBytes / 2: 200, 2 * maxHeaderBytes: 502} {
		f := stand(t, Options{}, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", size))
		}).URL)
		if res, _ := f.do(t, f.request(t, "GET", "/", "")); res.StatusCode != want {
			t.Errorf("%d bytes: %s", size, res.Status)
		}
	}
}

func TestWhatIsTrustedIsNotMadeLess(t *testing.T) {
	t.Parallel()
	strict := &tls.Config{MinVersion: tls.VersionTLS13}
	if got := newTransport(strict, "auto").TLSClientConfig; got.MinVersion != tls.VersionTLS13 || got == strict {
		t.Errorf("%x is enough", got.MinVersion)
	}
	if got := newTransport(nil, "auto").TLSClientConfig; got.MinVersion != tls.VersionTLS12 {
		t.Errorf("%x is enough", got.MinVersion)
	}
}
