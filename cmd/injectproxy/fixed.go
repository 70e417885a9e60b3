package main

import (
	"reflect"
	"slices"

	"github.com/injectproxy/injectproxy/internal/config"
)

// fixed are the settings that stay as they were when serve started: those of
// the port, of who may use it, of how the network is reached and of what lasts
// from one configuration to the next. Each returns where a Config has it.
var fixed = [...]struct {
	key string
	of  func(*config.Config) any // a pointer
}{
	{"listen", func(c *config.Config) any { return &c.Listen }},
	{"upstream_proxy", func(c *config.Config) any { return &c.Upstream.Proxy }},
	{"upstream_proxy", func(c *config.Config) any { return &c.Upstream.URL }},
	{"no_proxy", func(c *config.Config) any { return &c.Upstream.NoProxy }},
	{"upstream_ca", func(c *config.Config) any { return &c.Upstream.CA }},
	{"access.mode", func(c *config.Config) any { return &c.Access.Mode }},
	{"tunnel.allow", func(c *config.Config) any { return &c.Tunnel.Allow }},
	{"admin", func(c *config.Config) any { return &c.Admin }},
	{"token.login", func(c *config.Config) any { return &c.Token.Login }},
	{"entra", func(c *config.Config) any { return &c.Entra }},
	{"log", func(c *config.Config) any { return &c.Log }},
}

// sameClient reports whether two clients are admitted alike. What they may use
// is not fixed.
func sameClient(a, b config.Client) bool { return a.Name == b.Name && a.TokenFile == b.TokenFile }

// hold puts the fixed settings that are in use in place of those of changed,
// and returns the keys of those that differ from started, the files as they were
// read at the start. Ca.permit is among them: it decides about rules at once,
// and about the CA when that is made again.
func hold(changed, started, inUse *config.Config) (keys []string) {
	for _, f := range fixed {
		to := reflect.ValueOf(f.of(changed)).Elem()
		same := reflect.DeepEqual(to.Interface(), reflect.ValueOf(f.of(started)).Elem().Interface())
		to.Set(reflect.ValueOf(f.of(inUse)).Elem())
		if !same && (len(keys) == 0 || keys[len(keys)-1] != f.key) {
			keys = append(keys, f.key)
		}
	}
	if !slices.EqualFunc(changed.Access.Clients, started.Access.Clients, sameClient) {
		keys = append(keys, "access.client")
	}
	if !reflect.DeepEqual(changed.CA.Permit, started.CA.Permit) {
		keys = append(keys, "ca.permit")
	}
	return keys
}
