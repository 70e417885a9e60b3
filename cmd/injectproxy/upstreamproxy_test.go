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
