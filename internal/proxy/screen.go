package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
)

type rawConn = syscall.RawConn

// metadata are addresses where clouds answer with credentials of the machine,
// besides the link-local ones.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("168.63.129.16"):   true, // Azure's host agent
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba Cloud
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS over IPv6
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle Cloud
}

func screenAddress(address string, screen func(netip.AddrPort) error) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial address: %w", err)
	}
	return screen(netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()))
}

// screenUpstream refuses the addresses that no client's request may reach.
func (d *Dialer) screenUpstream(ap netip.AddrPort) error {
	ip := ap.Addr()
	switch {
	case d.o.Own(ap):
		return prohibited("It is a listener of this proxy itself.")
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), metadata[ip]:
		return prohibited("Link-local and cloud metadata addresses are never reached through this proxy.")
	case ip.IsMulticast():
		return prohibited("Multicast addresses are never reached through this proxy.")
	case d.o.NoLoopback && (ip.IsLoopback() || ip.IsUnspecified()):
		return prohibited("Loopback addresses are not reached through a shared proxy.")
	}
	return nil
}

// screenLiteral judges an authority whose host is an address, for when an
// upstream proxy will do the dialling.
func (d *Dialer) screenLiteral(authority string) error {
	ap, err := netip.ParseAddrPort(authority)
	if err != nil {
		return nil // a name: the upstream proxy resolves it
	}
	return d.screenUpstream(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

// screenProxy refuses to use ourselves as the upstream proxy.
func (d *Dialer) screenProxy(ap netip.AddrPort) error {
	if d.o.Own(ap) {
		return &Answer{
			Status: http.StatusBadGateway, Type: "proxy-loop", Title: "The upstream proxy is this proxy itself", Reason: loopDetected, Final: true,
			Detail: "What it would be sent would come back here.",
			Hint:   `Set upstream_proxy in config.toml to the real upstream proxy or to "direct", or start injectproxy without HTTPS_PROXY pointing at it.`,
		}
	}
	return nil
}

func prohibited(detail string) *Answer {
	return &Answer{
		Status: http.StatusForbidden, Type: "destination-prohibited", Title: "This destination is not allowed",
		Detail: detail, Reason: "destination_ip_prohibited", Final: true,
		Hint: "If the client must reach it, let it do so without the proxy (NO_PROXY).",
	}
}

func misconfiguredProxy(err error) *Answer {
	return &Answer{
		Status: http.StatusBadGateway, Type: "upstream-proxy", Title: "The upstream proxy's address is not valid", Reason: "proxy_configuration_error",
		Detail: "It is not clear how to reach the upstream. Nothing was sent.",
		Hint:   "Check upstream_proxy in config.toml and the HTTPS_PROXY variable that injectproxy was started with.", Final: true, Err: err,
	}
}

func proxyUnreachable(err error, via *url.URL) error {
	a := answerFor(err, proxyAddress(via))
	if a.Type != "proxy-loop" {
		a.Title = "The upstream proxy cannot be used"
		if a.Type != "upstream-certificate" {
			a.Hint = "Check upstream_proxy in config.toml and the HTTPS_PROXY variable that injectproxy was started with."
		}
	}
	return a
}

// proxyRefused is the answer where the upstream proxy gave res to what.
func proxyRefused(res *http.Response, via *url.URL, what string) *Answer {
	if saysLoop(res) {
		return proxyLoop(proxyAddress(via)+" says that the request had been through it before.",
			"Two proxies are each other's upstream proxy: change upstream_proxy in config.toml, or theirs.")
	}
	a := &Answer{
		Status: http.StatusBadGateway, Type: "upstream-proxy", Title: "The upstream proxy refused the connection", Reason: "proxy_internal_response",
		Detail: fmt.Sprintf("%s answered %s with status %d.", proxyAddress(via), what, res.StatusCode),
		Hint:   "Ask those who run the upstream proxy, or reach the host without it: no_proxy in config.toml, or NO_PROXY.",
	}
	switch res.StatusCode {
	case http.StatusProxyAuthRequired:
		a.Hint = "Put user and password into the URL of upstream_proxy in config.toml."
	case http.StatusGatewayTimeout:
		a.Status = http.StatusGatewayTimeout
	}
	return a
}

// IsListener returns an Own function for the given listen addresses. An
// unspecified address stands for every address of this machine.
func IsListener(listeners ...net.Addr) func(netip.AddrPort) bool {
	exact := map[netip.AddrPort]bool{}
	anyAddr := map[uint16]bool{}
	for _, l := range listeners {
		if ap, err := netip.ParseAddrPort(l.String()); err == nil {
			if ap.Addr().IsUnspecified() {
				anyAddr[ap.Port()] = true
			}
			exact[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())] = true
		}
	}
	return func(ap netip.AddrPort) bool {
		ip := ap.Addr()
		if exact[ap] {
			return true
		}
		// 0.0.0.0 and :: reach loopback listeners on most systems.
		if ip.IsUnspecified() && (exact[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())] || exact[netip.AddrPortFrom(netip.IPv6Loopback(), ap.Port())]) {
			return true
		}
		return anyAddr[ap.Port()] && (ip.IsUnspecified() || isLocal(ip))
	}
}

// isLocal reports whether ip belongs to this machine.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // fail closed: only our own port is affected
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}
