package main

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/stdio"
)

// transports are the words for those of package stdio, in its order.
var transports = []string{stdio.Auto: "auto", stdio.HTTP: "http", stdio.SSE: "sse"}

// stdioSetting is what a bridge goes by.
type stdioSetting struct {
	cfg       *config.Config // with the rules of the server's authority alone
	url       *url.URL
	authority string           // of url
	audience  *config.Audience // of the rule that covers url
	transport stdio.Transport
	timeout   time.Duration
	header    http.Header
	tools     func(name string) bool // nil: all
	notes     []string               // to be logged
}

// stdioSetting puts together what the command line, the environment and the
// configuration say. No error of it repeats a value that may be a secret: the
// URL may well hold one.
func (g *globals) stdioSetting(stderr io.Writer, o stdioOptions, env lookup) (*stdioSetting, error) {
	s := &stdioSetting{}
	var err error
	if s.url, s.authority, err = o.server(env); err != nil {
		return nil, err
	}
	if err := s.flags(o, env); err != nil {
		return nil, err
	}
	own, ignored := env, ""
	if o.urlGiven {
		own, ignored = env.ofAnotherServer(o)
	}
	if ignored != "" {
		s.notes = append(s.notes, ignored)
	}
	credential, err := o.credential(own)
	if err != nil {
		return nil, err
	}
	if entraTokenWins(credential, own) {
		s.notes = append(s.notes, entraToken+" is used as it stands, not "+entraTarget+": nobody renews it")
	}
	if s.cfg, err = g.stdioConfig(stderr, s, credential, env); err != nil {
		return nil, err
	}
	if err := env.override(s.cfg); err != nil {
		return nil, err
	}
	if o.given("upstream-proxy") {
		if err := s.cfg.OverrideUpstreamProxy(o.upstreamProxy); err != nil {
			return nil, &failure{status: exitUsage, err: errors.New("--upstream-proxy: " + err.Error()), hint: "env, direct, or a URL such as http://proxy.example:3128"}
		}
	}
	if err := s.covered(); err != nil {
		return nil, err
	}
	fromEnv, err := own.fields(entraHeaders)
	if err != nil {
		return nil, err
	}
	fromFlags, err := flagFields(o.headers, env)
	if err != nil {
		return nil, err
	}
	if s.header, err = header(s.taken, fromEnv, fromFlags); err != nil {
		return nil, err
	}
	// What the client has sent is held here in any case: it may be sent again
	// whatever its length.
	s.cfg.Retry.BodyLimit = max(s.cfg.Retry.BodyLimit, stdio.LargestMessage)
	s.cfg.Retry.Memory = max(s.cfg.Retry.Memory, 4*stdio.LargestMessage)
	s.cfg.Log.Level = cmp.Or(g.logLevel, quieter(s.cfg.Log.Level))
	s.cfg.Log.Format = cmp.Or(g.logFormat, s.cfg.Log.Format)
	s.cfg.Access.Clients = nil // there is nobody but the one at stdin
	return s, s.cfg.OverrideListen("127.0.0.1:0")
}

// flags reads what needs no configuration.
func (s *stdioSetting) flags(o stdioOptions, env lookup) (err error) {
	i := slices.Index(transports, o.transport)
	if i < 0 {
		return usageError("--transport must be one of %s, not %q", strings.Join(transports, ", "), o.transport)
	}
	s.transport, s.timeout = stdio.Transport(i), o.toolTimeout
	timeout, set, err := env.quantity(entraTimeout, time.Second)
	if err != nil {
		return err
	}
	if set && !o.given("tool-timeout") {
		s.timeout = timeout
	}
	if s.timeout < 0 {
		return usageError("--tool-timeout is less than 0")
	}
	if len(o.allow)+len(o.ignore) > 0 {
		if s.tools, err = stdio.Patterns(o.allow, o.ignore); err != nil {
			return usageError("--allow-tool, --ignore-tool: %v", err)
		}
	}
	return nil
}

// server returns the URL of the server, ready to be sent requests, and its
// canonical authority.
func (o stdioOptions) server(env lookup) (*url.URL, string, error) {
	raw, from := o.url, "the URL"
	if !o.urlGiven {
		if raw, from = env.text(entraURL), entraURL; raw == "" {
			return nil, "", &failure{
				status: exitUsage, err: errors.New("stdio needs the URL of the MCP server"),
				hint: "injectproxy stdio https://HOST/PATH",
			}
		}
	}
	fail := func(problem, hint string) (*url.URL, string, error) {
		return nil, "", &failure{status: exitUsage, err: errors.New(from + " " + problem), hint: hint}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return fail("is not a URL", "write https://HOST/PATH")
	case u.Scheme == "http":
		return fail("is plain http, over which no token is ever sent", "write https://; a server on this machine needs a certificate, too")
	case u.Scheme != "https" || u.Opaque != "":
		return fail("does not begin with https://", "write https://HOST/PATH")
	case u.User != nil:
		return fail("has a user before its host", "say with --audience, --client-id, --resource, --scope or --token-env where the token comes from")
	case strings.Contains(raw, "#"):
		return fail("has a fragment, which is never sent", "leave # and what follows it away")
	}
	authority, err := match.Authority(u.Host)
	if err != nil {
		return fail("has no host that can be reached: "+strings.TrimPrefix(err.Error(), "authority "), "write https://HOST/PATH")
	}
	u.Scheme, u.Host = "https", strings.TrimSuffix(authority, ":443")
	if u.Path == "" {
		u.Path = "/"
	}
	return u, authority, nil
}

// stdioConfig returns the configuration with the rules for the server alone.
func (g *globals) stdioConfig(stderr io.Writer, s *stdioSetting, c stdioCredential, env lookup) (*config.Config, error) {
	const otherwise = "or say what the token is: --client-id, --resource, --scope or --token-env"
	if c.key == "token_env" {
		if value, _ := env(c.value); value == "" {
			return nil, usageError("%s: that environment variable is not set", c.from)
		}
	}
	var base *config.Config
	if c.key == "" || c.key == "audience" || g.config != "" {
		var err error
		if base, err = g.quietly(stderr, "injectproxy init writes one, "+otherwise); err != nil {
			return nil, err
		}
	}
	if c.key == "" {
		return base.Within(s.authority), nil
	}
	sole := config.Sole{
		// The bridge alone sends requests there, and an event stream may name an
		// endpoint beside its own.
		Prefix: "https://" + s.authority + "/", PrefixAt: "the URL",
		Kind: c.key, Value: c.value, ValueAt: c.from, Tenant: c.tenant, TenantAt: c.tenantFrom,
	}
	if c.key == "audience" {
		sole.Kind, sole.Value, sole.Audience, sole.AudienceAt = "", "", c.value, c.from
	}
	cfg, problems := config.WithSole(base, sole)
	for _, p := range problems {
		if !p.Warning {
			return nil, &failure{status: exitUsage, err: errors.New(p.String()), hint: p.Hint}
		}
	}
	return cfg, nil
}
