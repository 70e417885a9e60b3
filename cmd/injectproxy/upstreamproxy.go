package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/injectproxy/injectproxy/internal/clientenv"
	"github.com/injectproxy/injectproxy/internal/config"
)

// upstreamProxy returns which upstream proxy to use for a URL. The
// environment is read once, here. A proxy that is one of our own listeners is
// an error: every request would come back to us. In a shell that env has led
// to us, the proxy is the one that was there before.
func upstreamProxy(cfg *config.Config, own func(netip.AddrPort) bool) (func(*url.URL) (*url.URL, error), error) {
	var c httpproxy.Config
	where := "upstream_proxy in " + cfg.File
	switch cfg.Upstream.Proxy {
	case "env":
		c = *httpproxy.FromEnvironment()
		where = "HTTPS_PROXY or HTTP_PROXY in the environment"
		if before, ok := proxyBefore(c, own); ok {
			c, where = before, "INJECTPROXY_UPSTREAM in the environment"
		}
	case "url":
		c.HTTPProxy, c.HTTPSProxy = cfg.Upstream.URL.String(), cfg.Upstream.URL.String()
		c.NoProxy = strings.Join(cfg.Upstream.NoProxy, ",")
	}
	for _, s := range []string{c.HTTPSProxy, c.HTTPProxy} {
		if err := checkProxy(s, where, own); err != nil {
			return nil, err
		}
	}
	return c.ProxyFunc(), nil
}

// checkProxy refuses an upstream proxy that cannot work.
func checkProxy(s, where string, own func(netip.AddrPort) bool) error {
	if s == "" {
		return nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return &failure{status: exitUsage, err: fmt.Errorf("%s is not a valid URL", where), hint: "write http://HOST:PORT or https://HOST:PORT"}
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return &failure{status: exitUsage, err: fmt.Errorf("%s: proxies of the kind %s are not supported", where, u.Scheme), hint: "use an http or https proxy, or set upstream_proxy"}
	}
	if namesUs(u, own) {
		return &failure{
			status: exitUsage, err: fmt.Errorf("%s names this proxy itself, so no request could ever leave", where),
			hint: `start it without that variable, or set upstream_proxy in config.toml to the real proxy or to "direct"`,
		}
	}
	return nil
}

// namesUs reports whether a proxy's URL leads to one of our own listeners.
func namesUs(u *url.URL, own func(netip.AddrPort) bool) bool {
	port := cmp.Or(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// A name that does not resolve now may do so later; the dialler looks
	// again at each address.
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		ap, err := netip.ParseAddrPort(net.JoinHostPort(a.Unmap().String(), port))
		return err == nil && own(ap)
	})
}

// proxyBefore returns the environment's proxies c with what env has put there
// replaced by what was there before. Ok is false if c does not lead to us, or
// nothing says what was there before.
func proxyBefore(c httpproxy.Config, own func(netip.AddrPort) bool) (before httpproxy.Config, ok bool) {
	if !namesUsAnywhere(c, own) {
		return c, false
	}
	upstream, noProxy, ok := clientenv.Upstream(os.Environ())
	if !ok {
		return c, false
	}
	for _, proxy := range []*string{&c.HTTPSProxy, &c.HTTPProxy} {
		if *proxy != "" && leadsToUs(*proxy, own) {
			*proxy = upstream
		}
	}
	c.NoProxy = noProxy
	return c, true
}

func namesUsAnywhere(c httpproxy.Config, own func(netip.AddrPort) bool) bool {
	return slices.ContainsFunc([]string{c.HTTPSProxy, c.HTTPProxy}, func(s string) bool { return s != "" && leadsToUs(s, own) })
}

// environmentNamesUs reports whether the environment's proxy is one of our own
// listeners, and nothing says what was there before.
func environmentNamesUs(own func(netip.AddrPort) bool) bool {
	c := *httpproxy.FromEnvironment()
	_, known := proxyBefore(c, own)
	return !known && namesUsAnywhere(c, own)
}

// leadsToUs is namesUs for the value of a variable.
func leadsToUs(value string, own func(netip.AddrPort) bool) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Host != "" && namesUs(u, own)
}

// childEnvironment is the environment for the commands that yield tokens: the
// process's own, without the proxy variables that would lead them through us.
// Where env has put those there, all that it did is undone.
func childEnvironment(environ []string, own func(netip.AddrPort) bool) []string {
	toUs := func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		isProxy := strings.HasSuffix(strings.ToLower(name), "_proxy") && !strings.EqualFold(name, "no_proxy")
		return isProxy && leadsToUs(value, own)
	}
	if slices.ContainsFunc(environ, toUs) {
		environ = clientenv.Before(environ)
	}
	return slices.DeleteFunc(slices.Clone(environ), toUs)
}
