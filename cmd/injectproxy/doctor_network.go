package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

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

// clocks compares this machine's clock with those of servers.
type clocks struct {
	mu    sync.Mutex
	ahead map[string]time.Duration // how far ours is, by server
}

// ask notes the time of the server at conn. One that does not tell is no
// failure: some take HTTP/2 alone, or no such request.
func (c *clocks) ask(ctx context.Context, conn net.Conn, authority string) {
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+authority+"/", nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", "injectproxy-doctor")
	req.Close = true
	sent := time.Now()
	if req.Write(conn) != nil {
		return
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil || res.Header.Get("Age") != "" { // of a cache, so it may be old
		return
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead == nil {
		c.ahead = map[string]time.Duration{}
	}
	// Whole seconds are told; the answer is of half the way back.
	c.ahead[authority] = sent.Add(time.Since(sent) / 2).Sub(date.Add(500 * time.Millisecond))
}

// examine goes by the server that agrees best with this machine: that all of
// them are wrong by the same is less likely than that one is.
func (c *clocks) examine() []finding {
	best, by := "", time.Duration(0)
	for server, ahead := range c.ahead {
		if best == "" || ahead.Abs() < by.Abs() || ahead.Abs() == by.Abs() && server < best {
			best, by = server, ahead
		}
	}
	f := finding{"clock", stateOK, "this machine", "agrees with " + best, ""}
	switch {
	case best == "":
		return nil
	case by > time.Minute:
		f.Status, f.Detail = stateFail, fmt.Sprintf("is %s ahead of %s", by.Round(time.Second), best)
	case by < -time.Minute:
		f.Status, f.Detail = stateFail, fmt.Sprintf("is %s behind %s", (-by).Round(time.Second), best)
	}
	if f.Status == stateFail {
		f.Remedy = setClock(runtime.GOOS)
	}
	return []finding{f}
}

func setClock(goos string) string {
	switch goos {
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	case "windows":
		return "w32tm /resync"
	}
	return "sudo timedatectl set-ntp true"
}
