package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestUpstreamProxyThatSpeaksTLSIsAskedByTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusProxyAuthRequired
		if r.Method == http.MethodConnect && r.Header.Get("Proxy-Authorization") != "" {
			status = http.StatusOK
		}
		w.Header().Set("Proxy-Authenticate", `Basic realm="corp"`)
		w.WriteHeader(status)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	s.StartTLS()
	t.Cleanup(s.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	for _, tt := range []struct {
		roots          *x509.CertPool
		user           *url.Userinfo
		status, detail string
		remedy         string
	}{
		{trusted, nil, stateFail, "wants a user and a password (HTTP 407)", `upstream_proxy = "https://USER:PASSWORD@`},
		{trusted, url.UserPassword("ada", "secret"), stateOK, "lets us through", ""},
		{x509.NewCertPool(), nil, stateFail, "cannot be used: The certificate of ", "If the upstream uses a private CA, add its PEM file to upstream_ca"},
	} {
		via, err := url.Parse(s.URL)
		must(t, err)
		via.User = tt.user
		n := &network{trust: &tls.Config{RootCAs: tt.roots}}
		f := n.examineProxy(t.Context(), via, "api.example.test:443")
		if f.Status != tt.status || !strings.HasPrefix(f.Detail, tt.detail) || !strings.HasPrefix(f.Remedy, tt.remedy) || strings.Contains(f.Subject, "secret") {
			t.Errorf("%+v: %+v", tt, f)
		}
	}
}
