package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/source"
)

// translate is what helps where a proxy wants what this one does not speak.
const translate = `run a proxy that speaks it on this machine, such as px or cntlm, and set upstream_proxy = "http://127.0.0.1:3128" in config.toml`

// examineProxy sees whether the upstream proxy lets us through to a host.
// Whether it reaches that host is not its own matter.
func (n *network) examineProxy(ctx context.Context, via *url.URL, authority string) finding {
	f := finding{"proxy", stateFail, via.Scheme + "://" + via.Host, "", ""}
	if file := via.Path; strings.HasSuffix(strings.ToLower(file), ".pac") || strings.HasSuffix(file, "/wpad.dat") {
		f.Detail, f.Remedy = "is a PAC file, which is not supported", `name the proxy that it chooses: upstream_proxy = "http://HOST:PORT" in config.toml`
		return f
	}
	res, err := n.askProxy(ctx, via, authority)
	if err != nil {
		a := proxy.Explain(err, via.Host)
		f.Detail, f.Remedy = "cannot be used: "+strings.TrimSuffix(a.Detail, "."), "check upstream_proxy in config.toml, or HTTPS_PROXY where serve is started"
		if a.Type == "upstream-certificate" {
			f.Remedy = a.Hint
		}
		return f
	}
	if res.StatusCode != http.StatusProxyAuthRequired {
		f.Status, f.Detail = stateOK, "lets us through"
		return f
	}
	f.Detail, f.Remedy = refusal(via, res.Header.Values("Proxy-Authenticate"))
	return f
}

// refusal says what a proxy wants that answered 407 with these challenges.
func refusal(via *url.URL, challenges []string) (detail, remedy string) {
	schemes := schemesOf(challenges)
	basic := slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, "Basic") })
	switch {
	case !basic && len(schemes) > 0:
		return "wants " + strings.Join(schemes, " or ") + ", which is not supported (HTTP 407)", translate
	case via.User != nil:
		return "does not take the user and password that it is sent (HTTP 407)", "put the right ones into the URL of upstream_proxy in config.toml, or of HTTPS_PROXY where serve is started"
	}
	return "wants a user and a password (HTTP 407)", fmt.Sprintf(`upstream_proxy = "%s://USER:PASSWORD@%s" in config.toml`, via.Scheme, via.Host)
}

// schemesOf returns the authentication schemes (RFC 9110, section 11.6.1) of
// challenges, as far as they are known: what else a proxy said is not repeated.
func schemesOf(challenges []string) (schemes []string) {
	known := []string{"Negotiate", "NTLM", "Kerberos", "Digest", "Bearer", "Basic"}
	for _, challenge := range challenges {
		for part := range strings.SplitSeq(challenge, ",") {
			word, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			for _, k := range known {
				if strings.EqualFold(word, k) && !slices.Contains(schemes, k) {
					schemes = append(schemes, k)
				}
			}
		}
	}
	if len(schemes) == 0 && len(challenges) > 0 {
		return []string{"an authentication of another kind"}
	}
	return schemes
}

// askProxy sends the proxy one CONNECT, as serve does, and returns the answer.
func (n *network) askProxy(ctx context.Context, via *url.URL, authority string) (*http.Response, error) {
	port := cmp.Or(via.Port(), map[string]string{"https": "443"}[via.Scheme], "80")
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if via.Scheme == "https" {
		cfg := n.trust.Clone()
		cfg.ServerName, cfg.NextProtos = via.Hostname(), []string{"http/1.1"}
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	head := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n"
	if u := via.User; u != nil {
		password, _ := u.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)) + "\r\n"
	}
	if _, err := conn.Write([]byte(head + "\r\n")); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
}

// examineSystemProxy tells of a PAC file in the settings of the desktop, which
// serve does not follow. Where a proxy is set for it in earnest, or the desktop
// has no such settings, there is nothing to tell.
func (d *doctor) examineSystemProxy(ctx context.Context) []finding {
	if c := httpproxy.FromEnvironment(); d.cfg.Upstream.Proxy != "env" || c.HTTPSProxy != "" && !leadsToUs(c.HTTPSProxy, d.own) {
		return nil
	}
	said, err := systemProxySettings(ctx, runtime.GOOS)
	if err != nil || !saysPAC(runtime.GOOS, said) {
		return nil
	}
	return []finding{{"proxy", stateWarn, "system settings", "choose a proxy by a PAC file, which is not supported: serve goes without",
		`name the proxy that it chooses: upstream_proxy = "http://HOST:PORT" in config.toml`}}
}

func systemProxySettings(ctx context.Context, goos string) (string, error) {
	argv := map[string][]string{
		"darwin":  {"scutil", "--proxy"},
		"windows": {"reg", "query", `HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings`, "/v", "AutoConfigURL"},
	}[goos]
	if argv == nil {
		argv = []string{"gsettings", "get", "org.gnome.system.proxy", "mode"}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...) // #nosec G204 -- argv is ours, there is no shell
	// Without secrets, of which the proxy's credential may be one.
	cmd.Env = slices.DeleteFunc(source.ToolEnvironment(os.Environ()), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasSuffix(strings.ToLower(name), "_proxy")
	})
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", err
	}
	return string(out), err
}

// saysPAC searches what the system's own tool printed.
func saysPAC(goos, said string) bool {
	switch goos {
	case "darwin":
		for line := range strings.Lines(said) {
			name, value, _ := strings.Cut(line, ":")
			if name = strings.TrimSpace(name); (name == "ProxyAutoConfigEnable" || name == "ProxyAutoDiscoveryEnable") && strings.TrimSpace(value) == "1" {
				return true
			}
		}
		return false
	case "windows":
		return strings.Contains(said, "AutoConfigURL") && strings.Contains(said, "REG_SZ")
	}
	return strings.TrimSpace(said) == "'auto'"
}
