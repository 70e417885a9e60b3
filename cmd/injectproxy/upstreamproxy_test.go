package main

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/proxy"
)

// ourselves is a listener at 127.0.0.1:8877.
var ourselves = proxy.IsListener(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8877})

func TestUpstreamProxyThatIsOurselvesIsRefused(t *testing.T) {
	for _, s := range []string{"http://127.0.0.1:8877", "127.0.0.1:8877", "http://user:secret@localhost:8877/", "https://127.0.0.1:8877", "http://0.0.0.0:8877"} {
		t.Setenv("HTTPS_PROXY", s)
		t.Setenv("HTTP_PROXY", "")
		cfg := new(config.Config)
		cfg.Upstream.Proxy = "env"
		_, err := upstreamProxy(cfg, ourselves)
		var f *failure
		if !errors.As(err, &f) || f.status != exitUsage || f.hint == "" {
			t.Errorf("HTTPS_PROXY=%s: error %v", s, err)
		}
	}
}

func TestUpstreamProxyOfAnUnsupportedKindIsRefused(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
	cfg := new(config.Config)
	cfg.Upstream.Proxy = "env"
	if _, err := upstreamProxy(cfg, ourselves); err == nil {
		t.Error("no error")
	}
}

func TestDirectIgnoresTheEnvironmentsProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:8877")
	cfg := new(config.Config)
	cfg.Upstream.Proxy = "direct"
	proxyFor, err := upstreamProxy(cfg, ourselves)
	if err != nil {
		t.Fatal(err)
	}
	if via, err := proxyFor(&url.URL{Scheme: "https", Host: "api.example"}); via != nil || err != nil {
		t.Errorf("proxy %v, error %v", via, err)
	}
}

func TestProxyBeforeIsUsedWhereTheEnvironmentLeadsToUs(t *testing.T) {
	const us, corp = "http://127.0.0.1:8877", "http://corp.example:3128"
	tests := []struct {
		name, https, http, upstream, before string
		wantHTTPS, wantHTTP                 string
		refused                             bool
	}{
		{name: "taken", https: us, upstream: corp, wantHTTPS: corp},
		{name: "direct", https: us, upstream: "direct"},
		{name: "http stays", https: us, http: "http://plain.example:80", upstream: corp, wantHTTPS: corp, wantHTTP: "http://plain.example:80"},
		{name: "http led to us too", https: us, http: us, upstream: corp, wantHTTPS: corp, wantHTTP: corp},
		{name: "another proxy wins", https: "http://new.example:80", upstream: corp, wantHTTPS: "http://new.example:80"},
		{name: "nothing before", https: us, refused: true},
		{name: "ourselves before", https: us, upstream: us, refused: true},
		{name: "an unsupported kind before", https: us, upstream: "socks5://corp.example:1080", refused: true},
	}
	for _, tt := range tests {
		for name, value := range map[string]string{
			"HTTPS_PROXY": tt.https, "HTTP_PROXY": tt.http, "INJECTPROXY_UPSTREAM": tt.upstream, "NO_PROXY": "kept.example", "INJECTPROXY_BEFORE_NO_PROXY": "kept.example,lifted.example",
			"https_proxy": "", "http_proxy": "", "no_proxy": "",
		} {
			t.Setenv(name, value)
		}
		cfg := new(config.Config)
		cfg.Upstream.Proxy = "env"
		proxyFor, err := upstreamProxy(cfg, ourselves)
		if tt.refused != (err != nil) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		for target, want := range map[string]string{
			"https://api.example/": tt.wantHTTPS, "http://api.example/": tt.wantHTTP, "https://kept.example/": "",
		} {
			if got := proxyOf(t, proxyFor, target); got != want {
				t.Errorf("%s: %s by %q, want %q", tt.name, target, got, want)
			}
		}
		lifted := "" // what env lifted for the clients is still an exception for us, unless the user has moved on
		if tt.name == "another proxy wins" {
			lifted = tt.wantHTTPS
		}
		if got := proxyOf(t, proxyFor, "https://lifted.example/"); got != lifted {
			t.Errorf("%s: what env lifted goes by %q", tt.name, got)
		}
	}
}

func TestEnvironmentNamesUsUnlessItSaysWhatWasThereBefore(t *testing.T) {
	for _, tt := range []struct {
		proxy, upstream string
		want            bool
	}{{"http://127.0.0.1:8877", "", true}, {"http://127.0.0.1:8877", "direct", false}, {"http://corp.example:3128", "", false}, {"", "", false}} {
		t.Setenv("HTTPS_PROXY", tt.proxy)
		t.Setenv("HTTP_PROXY", "")
		t.Setenv("INJECTPROXY_UPSTREAM", tt.upstream)
		if got := environmentNamesUs(ourselves); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func proxyOf(t *testing.T, proxyFor func(*url.URL) (*url.URL, error), target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	via, err := proxyFor(u)
	if err != nil {
		t.Fatal(err)
	}
	if via == nil {
		return ""
	}
	return via.String()
}

func TestTokenCommandsGetTheProxyThatWasThereBefore(t *testing.T) {
	in := []string{
		"PATH=/bin", "HTTPS_PROXY=http://127.0.0.1:8877", "https_proxy=http://127.0.0.1:8877", "INJECTPROXY_UPSTREAM=http://corp.example:3128",
		"INJECTPROXY_BEFORE_HTTPS_PROXY=http://corp.example:3128", "REQUESTS_CA_BUNDLE=/bundle.pem", "INJECTPROXY_BEFORE_REQUESTS_CA_BUNDLE=/corp.pem",
	}
	want := []string{"PATH=/bin", "HTTPS_PROXY=http://corp.example:3128", "REQUESTS_CA_BUNDLE=/corp.pem"}
	if got := childEnvironment(in, ourselves); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTokenCommandsAreNotSentThroughUs(t *testing.T) {
	in := []string{
		"PATH=/bin", "HTTPS_PROXY=http://injectproxy:secret@127.0.0.1:8877", "https_proxy=localhost:8877",
		"HTTP_PROXY=http://127.0.0.1:3128", "NO_PROXY=127.0.0.1:8877", "ALL_PROXY=", "GIT_PROXY_COMMAND=127.0.0.1:8877",
	}
	want := []string{"PATH=/bin", "HTTP_PROXY=http://127.0.0.1:3128", "NO_PROXY=127.0.0.1:8877", "ALL_PROXY=", "GIT_PROXY_COMMAND=127.0.0.1:8877"}
	if got := childEnvironment(in, ourselves); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
