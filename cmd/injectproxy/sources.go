package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/signin"
	"github.com/injectproxy/injectproxy/internal/source"
	"github.com/injectproxy/injectproxy/internal/token"
)

// usualSources are asked when an audience names none.
var usualSources = []string{"default", "az"}

// sourcesOf names the sources of an audience of Entra, in the order in which
// they are asked.
func sourcesOf(a *config.Audience) []string {
	if a.Sources == nil {
		return usualSources
	}
	return a.Sources
}

// sources makes the sources of a configuration's audiences, and ends what they
// share: the runner of the Azure tools and the controller of sign-ins.
type sources struct {
	cfg        *config.Config
	s          surroundings
	identity   *http.Transport
	commandEnv []string // taken before the first acquisition, which changes the environment for a moment
	tools      *source.Tools
	sessions   *source.Sessions
	signIns    *signin.Controller
	closers    []func()
}

// newSources returns the sources of cfg. SignedIn is called after each sign-in.
func newSources(cfg *config.Config, s surroundings, identity *http.Transport, own func(netip.AddrPort) bool, signedIn func()) *sources {
	environ := os.Environ()
	toolEnviron := s.environ
	if toolEnviron == nil {
		toolEnviron = environ
	}
	return &sources{
		cfg: cfg, s: s, identity: identity,
		commandEnv: childEnvironment(environ, own),
		tools: source.NewTools(source.ToolOptions{
			AzPath: cfg.Entra.AzPath, Env: toolEnvironment(toolEnviron, cfg, own, s.bundle), Dirs: s.toolDirs,
		}),
		sessions: source.NewSessions(s.sessions, s.log),
		signIns: signin.New(signin.Options{
			Mode: signin.Mode(cfg.Token.Login), Notify: s.notify, Log: s.log, Now: s.now,
			Done: func(string) { signedIn() },
		}),
	}
}

// of returns where the tokens of a come from.
func (ss *sources) of(a *config.Audience) (token.Source, error) {
	switch {
	case a.TokenEnv != "":
		return source.NewEnv(a.TokenEnv), nil
	case a.TokenFile != "":
		return source.NewFile(a.TokenFile), nil
	case len(a.TokenCommand) > 0:
		return source.NewCommand(a.TokenCommand, ss.commandEnv), nil
	}
	list, err := ss.entra(a)
	if err != nil {
		return nil, err
	}
	return source.NewOrder(source.OrderOptions{
		Tenant: a.Tenant, UserOnly: a.Identity == "user", SignIn: ss.signIn(a), Now: ss.s.now,
		Back: func() { ss.signIns.Forget(tenantKey(a)) },
	}, list...), nil
}

// supply is of, with what ends that source alone.
func (ss *sources) supply(a *config.Audience) (src token.Source, end func(), err error) {
	one := *ss
	one.closers = nil
	src, err = one.of(a)
	end = func() {
		for _, f := range one.closers {
			f()
		}
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return src, end, nil
}

// entra returns the sources of an audience of Entra, in their order.
func (ss *sources) entra(a *config.Audience) ([]token.Source, error) {
	var list []token.Source
	for _, name := range sourcesOf(a) {
		src, err := ss.one(name, a)
		if err != nil {
			return nil, err
		}
		list = append(list, src)
	}
	return list, nil
}

// one returns the source of that name. A new kind is one case here.
func (ss *sources) one(name string, a *config.Audience) (token.Source, error) {
	e := entraOf(a)
	switch name {
	case "default":
		d, err := source.NewDefault(e, ss.cloud())
		if err != nil {
			return nil, err
		}
		ss.closers = append(ss.closers, d.Close)
		return d, nil
	case "az":
		return ss.tools.Az(e)
	case "azd":
		return ss.tools.Azd(e)
	case "powershell":
		return ss.tools.PowerShell(e)
	case "device-code":
		return ss.person(source.NewDeviceCode(e, ss.personOptions(a)))
	case "browser":
		return ss.person(source.NewBrowser(e, ss.personOptions(a)))
	}
	return nil, fmt.Errorf("sources: %q is not known", name)
}

func (ss *sources) person(p *source.Person, err error) (token.Source, error) {
	if err != nil {
		return nil, err
	}
	ss.closers = append(ss.closers, p.Close)
	return p, nil
}

func (ss *sources) cloud() source.DefaultOptions {
	return source.DefaultOptions{
		AuthorityHost:            ss.cfg.Entra.AuthorityHost,
		DisableInstanceDiscovery: ss.cfg.Entra.DisableInstanceDiscovery,
		Transport:                ss.identity,
	}
}

func (ss *sources) personOptions(a *config.Audience) source.PersonOptions {
	return source.PersonOptions{DefaultOptions: ss.cloud(), Sessions: ss.sessions, Login: "injectproxy login " + a.Name}
}

// signIn returns what has a person sign in for the requests of a.
func (ss *sources) signIn(a *config.Audience) func(context.Context, source.Need) error {
	mode := ss.cfg.Token.Login
	if mode == "off" {
		return nil
	}
	return func(ctx context.Context, n source.Need) error {
		err := ss.signIns.SignIn(ctx, signin.Attempt{
			Tenant: tenantKey(a), Audience: a.Name, Command: mends(n),
			Asked: n.Asked, Once: n.Cause.Class == token.Consent,
			Run: func(ctx context.Context, tell func(string)) error { return n.Source.SignIn(ctx, n.Claims, tell) },
		})
		if mode == "notify" {
			return n.Cause // it says all there is to say, the command included
		}
		return err
	}
}

// tenantKey is the tenant of a, whatever way it is written.
func tenantKey(a *config.Audience) string { return strings.ToLower(a.Tenant) }

// mends is what mends n: its cause may know better than the source's usual
// command.
func mends(n source.Need) string { return cmp.Or(n.Cause.Hint, n.Source.Command(n.Claims)) }

// close ends the sign-ins and the calls that run. The caches are closed before.
func (ss *sources) close() {
	ss.signIns.Close()
	for _, f := range ss.closers {
		f()
	}
}

func entraOf(a *config.Audience) source.Entra {
	return source.Entra{ClientID: a.ClientID, Resource: a.Resource, Scope: a.Scope, Tenant: a.Tenant}
}

// meaning is the same text for audiences of Entra that mean the same: the same
// scope of the same tenant, from the same sources. It is "" for the others.
func meaning(a *config.Audience) (string, error) {
	if !isEntra(a) {
		return "", nil
	}
	r, err := entraOf(a).Resolve()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q", []any{r.Scope, r.AzArgs, tenantKey(a), sourcesOf(a), a.Identity}), nil
}

// isEntra reports whether the tokens of a are Entra's.
func isEntra(a *config.Audience) bool { return a.ClientID != "" || a.Resource != "" || a.Scope != "" }
