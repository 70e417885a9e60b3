package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// OrderOptions say what an [Order] accepts and how it has a person sign in.
// The zero value accepts any identity of any tenant and asks nobody.
type OrderOptions struct {
	Tenant   string // of the audience; a token that names another tenant is not handed out
	UserOnly bool   // nor is one that does not name a person

	// SignIn has a person sign in, and returns nil once the source is worth
	// asking again. A [token.Error] says how things stand; the need's own cause
	// says that there is nothing to add to it. Nil asks nobody.
	SignIn func(context.Context, Need) error

	// Back is called when a source that wanted a sign-in has a token again
	// without one of ours: somebody has signed in elsewhere. Nil calls nothing.
	Back func()

	Now func() time.Time // the wall clock; nil means time.Now
}

// Need is a sign-in that would help.
type Need struct {
	Source Interactive
	Cause  *token.Error // that the source failed with
	Asked  time.Time    // when it was asked
	Claims string       // that the sign-in has to meet, or ""
}

// Order asks several sources for the tokens of one audience, each in its turn.
//
// The next one has its turn when a source has nothing to authenticate with
// ([ErrNoCredential]), is not installed, wants a person to sign in, or gives a
// token that the options do not accept. Any other failure is the end: falling
// on to another identity because the configured one is refused or out of reach
// would change who acts without a word.
//
// If no source has a token and one of them can be signed in to, a person is
// asked to, and that source asked once more. That does not happen for a refresh
// that nobody waits for, nor because an upstream refused a token without
// naming claims: signing in again would not change its mind.
type Order struct {
	sources []token.Source
	wanting []atomic.Bool // by source: it wanted a sign-in when it was asked last
	o       OrderOptions
}

// NewOrder returns an Order over sources, of which there is at least one. They
// stay the caller's to close.
func NewOrder(o OrderOptions, sources ...token.Source) *Order {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Order{sources: sources, wanting: make([]atomic.Bool, len(sources)), o: o}
}

// Token implements [token.Source].
func (o *Order) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	var failures []failure
	for i, s := range o.sources {
		asked := o.o.Now()
		t, err := o.ask(ctx, s, ask)
		o.watch(i, ask, err)
		if err == nil {
			return t, nil
		}
		failures = append(failures, failure{i, s, asked, err})
		if !passesOn(err) {
			break
		}
	}
	f, ok := toSignIn(failures)
	if !ok || !o.maySignIn(ask) {
		return token.Token{}, summary(failures)
	}
	t, err := o.signIn(ctx, f, ask)
	return t, alsoTell(err, f.err, failures)
}

// failure is a source that had no token, and why.
type failure struct {
	index  int // of the source
	source token.Source
	asked  time.Time
	err    error
}

// watch notes what came of asking source i, and tells if it is back. A challenge
// says nothing of the session: only some of the tools can meet one at all.
func (o *Order) watch(i int, ask token.Ask, err error) {
	switch {
	case ask.Claims != "":
	case err != nil && classOf(err) == token.SignIn && !errors.Is(err, token.ErrSame):
		o.wanting[i].Store(true)
	case err == nil && o.wanting[i].Swap(false) && o.o.Back != nil:
		o.o.Back()
	}
}

// ask returns the token of one source, if the options accept it.
func (o *Order) ask(ctx context.Context, s token.Source, ask token.Ask) (token.Token, error) {
	t, err := s.Token(ctx, ask)
	if err != nil {
		return token.Token{}, err
	}
	return t, o.accept(t)
}

// errNotAccepted is wrapped by the error of a source whose token the options
// do not accept.
var errNotAccepted = errors.New("not accepted")

// accept looks into t: the one place where a decision needs that. Managed
// identities know one tenant whatever they are asked, and a secret left in the
// environment would otherwise win over the person who is signed in.
func (o *Order) accept(t token.Token) error {
	e := &token.Error{Class: token.Misconfigured, Source: t.Source(), Err: errNotAccepted}
	switch who := t.Identity(); {
	case isGUID(o.o.Tenant) && who.TenantID != "" && !strings.EqualFold(o.o.Tenant, who.TenantID):
		e.Message = "its token is of tenant " + who.TenantID + ", not of " + o.o.Tenant
		e.Hint = "check tenant of the audience, and whose credential is configured here"
	case o.o.UserOnly && who.Kind != token.User:
		e.Message = fmt.Sprintf("its token is of %s, and identity is \"user\"", describe(who))
		e.Hint = `unset AZURE_CLIENT_SECRET and the like, or set sources = ["az"] for the audience`
	default:
		return nil
	}
	return e
}

// describe names an identity that is no person's.
func describe(who token.Identity) string {
	switch {
	case who.Kind != token.Application:
		return "nobody that it names"
	case who.Name == "":
		return "an application"
	}
	return "the application " + who.Name
}

// passesOn reports whether the next source may try after err.
func passesOn(err error) bool {
	if errors.Is(err, token.ErrSame) {
		return false
	}
	class := classOf(err)
	return errors.Is(err, ErrNoCredential) || errors.Is(err, errNotAccepted) || class == token.NotInstalled || class == token.SignIn
}

func classOf(err error) token.Class {
	if e, ok := errors.AsType[*token.Error](err); ok {
		return e.Class
	}
	return token.Unknown
}

// maySignIn reports whether a person may be asked because of ask.
func (o *Order) maySignIn(ask token.Ask) bool {
	return o.o.SignIn != nil && !ask.Quiet && (ask.Rejected.IsZero() || ask.Claims != "")
}

// toSignIn returns the first failure that a sign-in would mend: the user's
// order of sources is the order of preference.
func toSignIn(failures []failure) (failure, bool) {
	i := slices.IndexFunc(failures, func(f failure) bool {
		class := classOf(f.err)
		_, interactive := f.source.(Interactive)
		return interactive && !errors.Is(f.err, token.ErrSame) && (class == token.SignIn || class == token.Consent)
	})
	if i < 0 {
		return failure{}, false
	}
	return failures[i], true
}

// signIn has a person sign in to the source of f, and asks it once more.
func (o *Order) signIn(ctx context.Context, f failure, ask token.Ask) (token.Token, error) {
	cause, _ := errors.AsType[*token.Error](f.err) // toSignIn has read its class
	s := f.source.(Interactive)
	err := o.o.SignIn(ctx, Need{Source: s, Cause: cause, Asked: f.asked, Claims: ask.Claims})
	if err == nil {
		o.wanting[f.index].Store(false)
		// The claims are met by the session now; asked for again, they would
		// be told to sign in again by tools that cannot hand them on.
		return o.ask(ctx, s, token.Ask{Rejected: ask.Rejected})
	}
	how, ok := errors.AsType[*token.Error](err)
	if !ok || how == cause {
		return token.Token{}, f.err
	}
	// What the identity service said stays; how the sign-in stands is added.
	e := *cause
	e.Class, e.Hint, e.Err = how.Class, cmp.Or(how.Hint, cause.Hint), err
	if how.Class == token.Consent {
		e.Hint = cause.Hint // it knows who can give the consent
	}
	if how.Message != "" {
		e.Message += "; " + how.Message
	}
	return token.Token{}, &e
}

// summary is the error for all failures: the only one, the one that ended the
// search, the first that a person can mend, or else all of them in one line.
func summary(failures []failure) error {
	last := failures[len(failures)-1].err
	if len(failures) == 1 || !passesOn(last) {
		return last
	}
	for _, telling := range []func(error) bool{
		func(err error) bool { return classOf(err) == token.SignIn },
		func(err error) bool { return errors.Is(err, errNotAccepted) },
	} {
		for _, f := range failures {
			if telling(f.err) {
				return alsoTell(f.err, f.err, failures)
			}
		}
	}
	return noneHasOne(failures)
}

// alsoTell adds to err, which tells of the failure main, what the other
// sources said that were not just absent.
func alsoTell(err, main error, failures []failure) error {
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		return err
	}
	var others []string
	for _, f := range failures {
		if f.err != main && (classOf(f.err) == token.SignIn || errors.Is(f.err, errNotAccepted)) {
			others = append(others, f.err.Error())
		}
	}
	if others == nil {
		return err
	}
	all := *e
	all.Message += "; " + strings.Join(others, "; ")
	return &all
}

// noneHasOne is the error when no source has anything to begin with.
func noneHasOne(failures []failure) error {
	all := &token.Error{Class: token.NotInstalled}
	var messages, hints []string
	var stale []func() bool
	for _, f := range failures {
		e, ok := errors.AsType[*token.Error](f.err)
		if !ok {
			continue
		}
		messages = append(messages, e.Error())
		if e.Hint != "" && !slices.Contains(hints, e.Hint) {
			hints = append(hints, e.Hint)
		}
		if e.Stale != nil {
			stale = append(stale, e.Stale)
		}
		if errors.Is(e, ErrNoCredential) {
			all.Err = ErrNoCredential
		}
	}
	all.Message = strings.Join(messages, "; ")
	all.Hint = strings.Join(hints, "; or ")
	all.Stale = func() bool { return slices.ContainsFunc(stale, func(f func() bool) bool { return f() }) }
	return all
}

// isGUID reports whether s has the form of one; a tenant may be a domain too,
// which tokens do not name.
func isGUID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && only(s, "-")
}
