package source

import (
	"cmp"
	"context"
	"errors"
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
	served  atomic.Int64  // number of the source of the last token, from 1
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
			o.served.Store(int64(i) + 1)
			return t, nil
		}
		err = o.lapse(i, ask, err)
		failures = append(failures, failure{i, s, asked, err})
		if !passesOn(err) {
			break
		}
	}
	list := toSignIn(failures)
	if len(list) == 0 || !o.maySignIn(ask) {
		return token.Token{}, summary(failures)
	}
	return o.signIn(ctx, list, failures, ask)
}

// failure is a source that had no token, and why.
type failure struct {
	index  int // of the source
	source token.Source
	asked  time.Time
	err    error
}

// lapse makes a passing trouble of it when the source that has served so far
// is without its credential all at once, as a managed identity whose metadata
// service is silent for a moment: while the old token serves, or was merely
// refused, nobody else is to step in. Without a token, somebody may.
func (o *Order) lapse(i int, ask token.Ask, err error) error {
	e, ok := errors.AsType[*token.Error](err)
	if !ok || !errors.Is(err, ErrNoCredential) || o.served.Load() != int64(i)+1 || !ask.Quiet && ask.Rejected.IsZero() {
		return err
	}
	passing := *e
	passing.Class, passing.Err = token.Transient, nil
	return &passing
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
	stale := watchOf(s) // as of before, so that no sign-in is missed
	t, err := s.Token(ctx, ask)
	if err != nil {
		return token.Token{}, err
	}
	if err := o.accept(s, t, stale); err != nil {
		return token.Token{}, err
	}
	return t, nil
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

// toSignIn returns the failures that a sign-in would mend: the user's order of
// sources is the order of preference.
func toSignIn(failures []failure) (list []failure) {
	for _, f := range failures {
		class := classOf(f.err)
		_, interactive := f.source.(Interactive)
		if interactive && !errors.Is(f.err, token.ErrSame) && (class == token.SignIn || class == token.Consent) {
			list = append(list, f)
		}
	}
	return list
}

// signIn has a person sign in to the first source of list where that is
// possible, and asks it once more.
func (o *Order) signIn(ctx context.Context, list, failures []failure, ask token.Ask) (token.Token, error) {
	for i, f := range list {
		err := o.signInTo(ctx, f, ask)
		switch {
		case err == nil:
			o.wanting[f.index].Store(false)
			o.served.Store(int64(f.index) + 1)
			// The claims are met by the session now; asked for again, they would
			// be told to sign in again by tools that cannot hand them on.
			return o.ask(ctx, f.source, token.Ask{Rejected: ask.Rejected})
		case classOf(err) == token.NotInstalled && i < len(list)-1:
			continue // no browser, say
		}
		return token.Token{}, alsoTell(err, f.err, failures)
	}
	panic("unreachable: the last of list returns")
}

// signInTo has a person sign in to the source of f.
func (o *Order) signInTo(ctx context.Context, f failure, ask token.Ask) error {
	cause, _ := errors.AsType[*token.Error](f.err) // toSignIn has read its class
	err := o.o.SignIn(ctx, Need{Source: f.source.(Interactive), Cause: cause, Asked: f.asked, Claims: ask.Claims})
	how, ok := errors.AsType[*token.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok, how == cause:
		return f.err
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
	return &e
}
