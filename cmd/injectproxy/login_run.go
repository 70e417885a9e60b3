package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/source"
	"github.com/injectproxy/injectproxy/internal/token"
)

// login signs a person in, outside of a running proxy.
type login struct {
	*sources
	stdout, stderr io.Writer
	progress       *progress // over stderr; nil where nobody looks
}

func newLogin(cfg *config.Config, stdout, stderr io.Writer) (*login, error) {
	home, err := config.Home()
	if err != nil {
		return nil, err
	}
	own := listensAt(cfg.Listen)
	transport, err := ownTransport(cfg, own)
	if err != nil {
		return nil, err
	}
	around := surroundings{log: slog.New(slog.DiscardHandler), sessions: sessionsDir(home), bundle: bundleOf(home)}
	p := newProgress(stderr)
	return &login{newSources(cfg, around, transport, own, func() {}), stdout, p.over(stderr), p}, nil
}

// named signs in to the audience of that name, whatever token there is.
func (l *login) named(ctx context.Context, name string) error {
	i := slices.IndexFunc(l.cfg.Audiences, func(a *config.Audience) bool { return a.Name == name })
	if i < 0 {
		return usageError("there is no audience %q: it is one of %s", name, strings.Join(audienceNames(l.cfg), ", "))
	}
	a := l.cfg.Audiences[i]
	list, err := l.interactive(a)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return &failure{status: exitUsage, err: fmt.Errorf("audience %s has no source that a person can sign in to", name),
			hint: `az, device-code and browser are such sources; the audience's key sources names them`}
	}
	return l.first(ctx, a, list)
}

// all signs in to each audience that has no token and can be signed in to. One
// that fails does not keep the others from it.
func (l *login) all(ctx context.Context) error {
	tried, failed := 0, false
	for _, a := range l.cfg.Audiences {
		list, err := l.interactive(a)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		tried++
		err = l.missing(ctx, a, list)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed = true
			hint := ""
			if f, ok := errors.AsType[*failure](err); ok {
				hint = f.hint
			}
			printError(l.stderr, err, hint)
		}
	}
	if tried == 0 {
		return errors.New("no audience has a source that a person can sign in to")
	}
	if failed {
		return &failure{status: exitFailed} // each has been told
	}
	return nil
}

// missing signs in to a unless it has a token.
func (l *login) missing(ctx context.Context, a *config.Audience, list []source.Interactive) error {
	src, err := l.of(a)
	if err != nil {
		return err
	}
	t, err := l.token(ctx, a, src)
	if err == nil {
		return l.report(a, t, "has a token")
	}
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Class != token.SignIn && e.Class != token.Consent {
		return told(a, err)
	}
	return l.first(ctx, a, list)
}

// interactive returns the sources of a that a person can sign in to.
func (l *login) interactive(a *config.Audience) (list []source.Interactive, err error) {
	if !isEntra(a) {
		return nil, nil
	}
	all, err := l.entra(a)
	if err != nil {
		return nil, fmt.Errorf("audience %s: %w", a.Name, err)
	}
	for _, s := range all {
		if i, ok := s.(source.Interactive); ok {
			list = append(list, i)
		}
	}
	return list, nil
}

// first signs in to the first source of list where that is possible.
func (l *login) first(ctx context.Context, a *config.Audience, list []source.Interactive) error {
	var err error
	for _, s := range list {
		err = l.signIn(ctx, a, s)
		if e, ok := errors.AsType[*token.Error](err); !ok || e.Class != token.NotInstalled {
			return err
		}
	}
	return err
}

// signIn has the person sign in to s, and shows whose token a has thereby.
func (l *login) signIn(ctx context.Context, a *config.Audience, s source.Interactive) error {
	limited, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	fmt.Fprintf(l.stderr, "audience %s: signing in\n", a.Name)
	end := l.progress.wait("audience " + a.Name + ": waiting for the sign-in")
	err := s.SignIn(limited, "", func(message string) { fmt.Fprintln(l.stderr, message) })
	end()
	if err != nil {
		return told(a, err)
	}
	if p, ok := s.(*source.Person); ok && !p.Kept() {
		return &failure{status: exitFailed, err: fmt.Errorf("audience %s: the sign-in ended with this command: the system has no store to keep it in", a.Name),
			hint: `set login = "auto" in [token], for serve to open the sign-in itself, or add "az" to the audience's sources`}
	}
	src, err := l.of(a)
	if err != nil {
		return err
	}
	t, err := l.token(ctx, a, src) // the one that serve will use, be it another source's
	if err != nil {
		return told(a, err)
	}
	return l.report(a, t, "signed in")
}

// token asks s without bothering anybody.
func (l *login) token(ctx context.Context, a *config.Audience, s token.Source) (token.Token, error) {
	defer l.progress.wait(waitingFor(a.Name))()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Token.Timeout)
	defer cancel()
	return s.Token(ctx, token.Ask{Quiet: true})
}

func (l *login) report(a *config.Audience, t token.Token, what string) error {
	who := t.Identity()
	_, err := fmt.Fprintf(l.stdout, "audience %s: %s as %s, from %s, until %s\n",
		a.Name, what, orUnknown(who.Name), t.Source(), t.Expiry().UTC().Format(time.RFC3339))
	return err
}

func orUnknown(name string) string {
	if name == "" {
		return "somebody it does not name"
	}
	return name
}

// told is the failure of a sign-in, as the command tells it.
func told(a *config.Audience, err error) error {
	f := &failure{status: exitFailed, err: fmt.Errorf("audience %s: %w", a.Name, err)}
	if e, ok := errors.AsType[*token.Error](err); ok {
		f.hint = e.Hint
	}
	return f
}

func audienceNames(cfg *config.Config) []string {
	names := make([]string, len(cfg.Audiences))
	for i, a := range cfg.Audiences {
		names[i] = a.Name
	}
	return names
}

// listensAt reports what would be the listener of a running serve, so that
// nothing of this command goes through it.
func listensAt(listen string) func(netip.AddrPort) bool {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return func(netip.AddrPort) bool { return false }
	}
	return proxy.IsListener(a)
}

// ownTransport reaches the identity service as a serve of this configuration
// would. In the shell of a user, the environment's proxy may be that serve:
// then it is left out.
func ownTransport(cfg *config.Config, own func(netip.AddrPort) bool) (*http.Transport, error) {
	roots, err := upstreamRoots(cfg.Upstream.CA)
	if err != nil {
		return nil, err
	}
	direct := *cfg
	if direct.Upstream.Proxy == "env" && environmentNamesUs(own) {
		direct.Upstream.Proxy = "direct"
	}
	proxyFor, err := upstreamProxy(&direct, own)
	if err != nil {
		return nil, err
	}
	return identityTransport(proxyFor, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}), nil
}
