package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/proxy"
)

// network reaches hosts as serve does.
type network struct {
	proxyFor func(*url.URL) (*url.URL, error)
	trust    *tls.Config
	dialer   *proxy.Dialer
}

// newNetwork takes its settings from what reaches the identity service.
func newNetwork(cfg *config.Config, identity *http.Transport, own func(netip.AddrPort) bool) *network {
	n := &network{
		proxyFor: func(u *url.URL) (*url.URL, error) { return identity.Proxy(&http.Request{URL: u}) },
		trust:    identity.TLSClientConfig,
	}
	n.dialer = proxy.NewDialer(proxy.DialOptions{Proxy: n.proxyFor, TLS: n.trust, Own: own, NoLoopback: cfg.Shared()})
	return n
}

// examineSettings says what keeps serve from starting.
func (d *doctor) examineSettings(context.Context) []finding {
	return []finding{failureFinding("proxy", "upstream_proxy", d.broken)}
}

// way is an upstream proxy, nil for none, and the hosts that are reached by it.
type way struct {
	via      *url.URL
	hosts    []string // authorities
	identity string   // the one of them that is the identity service, "" for none
}

// ways returns how the hosts of rules and the identity service are reached,
// with what is reached directly first.
func (d *doctor) ways() []*way {
	list := []*way{{}}
	hosts := authoritiesOf(d.cfg)
	identity := d.identityService()
	if identity != "" && !slices.Contains(hosts, identity) {
		hosts = append(hosts, identity)
	}
	for _, host := range hosts {
		via, err := d.network.proxyFor(&url.URL{Scheme: "https", Host: host})
		if err != nil {
			continue // newLogin has refused such settings
		}
		i := slices.IndexFunc(list, func(w *way) bool { return urlText(w.via) == urlText(via) })
		if i < 0 {
			i, list = len(list), append(list, &way{via: via})
		}
		list[i].hosts = append(list[i].hosts, host)
		if host == identity {
			list[i].identity = host
		}
	}
	return list
}

func urlText(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// identityService returns the authority of the service that gives the tokens of
// Entra, "" if no audience has any.
func (d *doctor) identityService() string {
	if !slices.ContainsFunc(d.cfg.Audiences, isEntra) {
		return ""
	}
	host := d.cfg.Entra.AuthorityHost
	if host == "" {
		host = os.Getenv("AZURE_AUTHORITY_HOST")
	}
	u, err := url.Parse(host)
	if host == "" || err != nil {
		return "login.microsoftonline.com:443"
	}
	authority, err := match.Authority(u.Host)
	if err != nil {
		return ""
	}
	return authority
}

// examineWay asks the proxy, if there is one, and then the hosts behind it: of
// a proxy that lets nothing through they say nothing.
func (d *doctor) examineWay(ctx context.Context, w *way) []finding {
	var findings []finding
	if w.via != nil {
		limited, cancel := context.WithTimeout(ctx, examineLimit)
		f := d.network.examineProxy(limited, w.via, w.hosts[0])
		cancel()
		if f.Status == stateFail {
			return []finding{f}
		}
		findings = append(findings, f)
	}
	found := make([]finding, len(w.hosts))
	var running sync.WaitGroup
	for i, host := range w.hosts {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, examineLimit)
			defer cancel()
			found[i] = d.examineHost(ctx, host, host == w.identity)
		})
	}
	running.Wait()
	return append(findings, found...)
}

// examineHost connects to a host and asks it for the time.
func (d *doctor) examineHost(ctx context.Context, authority string, identity bool) finding {
	f := finding{"upstream", stateOK, authority, "can be reached, and its certificate is trusted", ""}
	if identity {
		f.Check = "identity"
	}
	conn, err := d.network.connect(ctx, authority)
	if err != nil {
		a := proxy.Explain(err, authority)
		f.Status, f.Detail, f.Remedy = stateFail, strings.TrimSuffix(a.Error(), "."), a.Hint
		return f
	}
	defer conn.Close()
	d.clocks.ask(ctx, conn, authority)
	return f
}

func (n *network) connect(ctx context.Context, authority string) (net.Conn, error) {
	raw, err := n.dialer.Dial(ctx, authority)
	if err != nil {
		return nil, err
	}
	cfg := n.trust.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(authority) // canonical: it splits
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}
