package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// read reads how servers are reached.
func (u *Upstream) read(t *table) {
	u.Proxy = "env"
	switch s := t.str("upstream_proxy", u.Proxy); s {
	case "env", "direct":
		u.Proxy = s
	default:
		// What is written here may hold a password: no message repeats it.
		proxy, problem := parseProxy(s)
		if problem != "" {
			t.errorf(t.at("upstream_proxy"), "upstream_proxy %s", problem).hint(`"env", "direct", or a URL such as "http://user:password@proxy.example:3128"`)
			break
		}
		u.Proxy, u.URL = "url", proxy
	}
	u.NoProxy = t.list("no_proxy")
	for i, entry := range u.NoProxy {
		if !isNoProxy(entry) {
			t.errorf(t.elementAt("no_proxy", i), "no_proxy: %s is not a host, a .domain, an address or a range", show(entry))
		}
	}
	if len(u.NoProxy) > 0 && u.Proxy != "url" {
		t.warnf(t.at("no_proxy"), "no_proxy has no effect: upstream_proxy is %q, not a URL", u.Proxy)
	}
	for i, written := range t.list("upstream_ca") {
		file := t.abs(written)
		if err := checkPEM(file); err != nil && !t.elsewhere {
			t.errorf(t.elementAt("upstream_ca", i), "upstream_ca: %s %v", show(written), err)
			continue
		}
		u.CA = append(u.CA, file)
	}
}

// parseProxy returns the URL of a proxy, or what is wrong with it.
func parseProxy(s string) (proxy *url.URL, problem string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || !strings.Contains(s, "://"):
		return nil, `is neither "env" nor "direct" nor a URL`
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must be an http or https URL"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "must be a URL without path, query and fragment"
	}
	if _, err := match.Authority(u.Host); err != nil {
		return nil, strings.TrimPrefix(err.Error(), "authority ")
	}
	return u, ""
}

// isNoProxy accepts what NO_PROXY does: "*", a host, .domain, address, range,
// each but the range with or without a port.
func isNoProxy(s string) bool {
	if s == "*" {
		return true
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := match.Authority(strings.TrimPrefix(strings.TrimPrefix(s, "*"), "."))
	return err == nil
}

func checkPEM(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot be read: %s", cause(err))
	}
	found := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds a certificate that cannot be parsed, number %d", found+1)
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("holds no PEM certificate")
	}
	return nil
}

// address returns a host:port to listen on.
func (t *table) address(key, absent string) string {
	s := t.str(key, absent)
	if problem := badAddress(s); problem != "" {
		t.errorf(t.at(key), "%s: %s %s", t.name(key), show(s), problem).hint(`an address and a port, such as %q`, absent)
		return absent
	}
	return s
}

// badAddress says why a listener cannot have this address. Port 0, any free
// one, is fine, and so is an empty host, all addresses.
func badAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "is not host:port"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "has a port that is not a number from 0 to 65535"
	}
	if host == "" {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if _, err := match.Authority(host); err != nil {
		return "has no valid host"
	}
	return ""
}

// origin returns an https URL that has a host and nothing else, "" if key is
// absent or empty.
func (t *table) origin(key string) string {
	s := t.str(key, "")
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" && u.Path != "/" || strings.ContainsAny(s, "?#") {
		t.errorf(t.at(key), "%s is not an https URL with a host only", t.name(key)).hint(`such as "https://login.microsoftonline.us/"`)
		return ""
	}
	if _, err := match.Authority(u.Host); err != nil {
		t.errorf(t.at(key), "%s %s", t.name(key), strings.TrimPrefix(err.Error(), "authority "))
		return ""
	}
	return s
}

// Shared reports whether the port is for others than the user: other machines
// can reach it, or it has named clients, who may be other users of this one.
func (c *Config) Shared() bool { return shared(c.Listen) || len(c.Access.Clients) > 0 }

func shared(listen string) bool {
	host, _, _ := net.SplitHostPort(listen)
	if addr, err := netip.ParseAddr(host); err == nil {
		return !addr.Unmap().IsLoopback()
	}
	return !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// OverrideListen puts addr in place of the listen address, and decides
// tunnel.allow anew where the file leaves it to the address.
func (c *Config) OverrideListen(addr string) error {
	if problem := badAddress(addr); problem != "" {
		return fmt.Errorf("%s %s", show(addr), problem)
	}
	before := c.Listen
	if c.Listen = addr; c.lendsIdentity() {
		c.Listen = before
		return fmt.Errorf("%s can be reached by other machines, and token.login is \"auto\": whoever signs in at the request of one client would lend all of them an identity", show(addr))
	}
	c.tunnelDefault()
	return nil
}

// lendsIdentity reports whether a sign-in could be opened by somebody who is
// not the user: the code to enter is told to whoever asks.
func (c *Config) lendsIdentity() bool { return c.Token.Login == "auto" && c.Shared() }

func (c *Config) tunnelDefault() {
	if c.tunnelSet {
		return
	}
	c.Tunnel.Allow = "all"
	if c.Shared() {
		c.Tunnel.Allow = "rules"
	}
}
