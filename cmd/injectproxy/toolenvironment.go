package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/source"
)

// thisMachine is what no proxy is asked for: the endpoints of a managed
// identity. A proxy would be sent the secret that guards them, and might answer
// with an identity of its own.
const thisMachine = "localhost,127.0.0.1,::1,169.254.169.254"

// sparing returns env with this machine left out of what goes through a proxy,
// if anything does.
func sparing(env []string) []string {
	proxied, known := false, false
	for i, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		switch name = strings.ToLower(name); {
		case name == "no_proxy":
			known = true
			if strings.TrimSpace(value) == "*" {
				continue // all of it, and to Python only as it stands
			}
			env[i] = strings.TrimSuffix(kv, value) + strings.TrimPrefix(value+","+thisMachine, ",")
		case strings.HasSuffix(name, "_proxy"):
			proxied = true
		}
	}
	if proxied && !known {
		env = append(env, "NO_PROXY="+thisMachine)
	}
	return env
}

// toolEnvironment is the environment of az and its kin: clean, led through the
// configured upstream proxy and never through us, trusting what upstream_ca
// adds.
func toolEnvironment(environ []string, cfg *config.Config, own func(netip.AddrPort) bool, bundle string) []string {
	env := source.ToolEnvironment(childEnvironment(environ, own))
	if cfg.Upstream.Proxy != "env" {
		env = slices.DeleteFunc(env, func(kv string) bool {
			name, _, _ := strings.Cut(kv, "=")
			return strings.HasSuffix(strings.ToLower(name), "_proxy")
		})
	}
	if cfg.Upstream.Proxy == "url" {
		proxy := cfg.Upstream.URL.String()
		env = append(env, "HTTPS_PROXY="+proxy, "HTTP_PROXY="+proxy, "NO_PROXY="+strings.Join(cfg.Upstream.NoProxy, ","))
	}
	env = sparing(env)
	if len(cfg.Upstream.CA) == 0 || bundle == "" {
		return env
	}
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} { // az is Python, azd is Go
		if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			env = append(env, name+"="+bundle)
		}
	}
	return env
}
