package source

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestSignInGoesToTheNextSourceWhereTheFirstHasNone(t *testing.T) {
	noBrowser := &token.Error{Class: token.NotInstalled, Message: "there is no browser", Hint: "use a code"}
	declined := &token.Error{Class: token.Declined, Message: "declined"}
	for _, tt := range []struct {
		name        string
		first, last error // how the sign-ins end
		want        string
		asked       []string
	}{
		{"no browser", noBrowser, nil, "fresh", []string{"browser", "code"}},
		{"declined", declined, nil, "declined", []string{"browser"}},
		{"neither is possible", noBrowser, noBrowser, "there is no browser", []string{"browser", "code"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			browser, code := answers("browser", signedIn), answers("code", signedIn, "fresh")
			var asked []string
			signIn := func(_ context.Context, n Need) error {
				asked = append(asked, n.Source.(door).name)
				if n.Source.(door).step == browser {
					return tt.first
				}
				return tt.last
			}
			got, err := NewOrder(OrderOptions{SignIn: signIn}, door{browser}, door{code}).Token(t.Context(), token.Ask{})
			if said := got.Reveal() + errText(err); !strings.Contains(said, tt.want) || !slices.Equal(asked, tt.asked) {
				t.Errorf("%q after sign-ins to %v", said, asked)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watchedDoor tells of sign-ins, as the real ones do.
type watchedDoor struct {
	door
	signedIn *bool
}

func (d watchedDoor) watch() func() bool {
	before := *d.signedIn
	return func() bool { return *d.signedIn != before }
}

func TestAnySourceThatWasSignedInToMakesTheFailureStale(t *testing.T) {
	elsewhere := false
	since := func() bool { return elsewhere }
	first, second := *signedIn, *signedIn
	second.Stale = since
	for name, o := range map[string]*Order{
		"a source that is not the first": NewOrder(OrderOptions{}, door{answers("az", &first)}, answers("azd", &second)),
		"with a sign-in of ours declined": NewOrder(OrderOptions{SignIn: (&asks{err: &token.Error{Class: token.Declined}}).signIn},
			door{answers("az", &first)}, answers("azd", &second)),
		"a token of the wrong identity": NewOrder(OrderOptions{UserOnly: true}, watchedDoor{door{answers("az", claimsOf(ofApplication))}, &elsewhere}),
		"a token of the wrong identity, then nothing": NewOrder(OrderOptions{UserOnly: true},
			watchedDoor{door{answers("az", claimsOf(ofApplication))}, &elsewhere}, answers("azd", absent)),
		"a token of the wrong tenant": NewOrder(OrderOptions{Tenant: tenant2}, watchedDoor{door{answers("az", claimsOf(ofPerson))}, &elsewhere}),
	} {
		t.Run(name, func(t *testing.T) {
			elsewhere = false
			_, err := o.Token(t.Context(), token.Ask{})
			e, ok := errors.AsType[*token.Error](err)
			if !ok || e.Stale == nil || e.Stale() {
				t.Fatalf("%+v", err)
			}
			elsewhere = true
			if !e.Stale() {
				t.Error("the sign-in is not noticed")
			}
		})
	}
}

func TestRemedyForAWrongIdentityIsThatOfItsSource(t *testing.T) {
	for name, tt := range map[string]struct {
		src  token.Source
		want string
	}{
		"of the environment": {answers("default", claimsOf(ofApplication)), "AZURE_CLIENT_SECRET"},
		"of az":              {door{answers("az", claimsOf(ofApplication))}, "az login"},
	} {
		_, err := NewOrder(OrderOptions{UserOnly: true}, tt.src).Token(t.Context(), token.Ask{})
		if e, ok := errors.AsType[*token.Error](err); !ok || !strings.Contains(e.Hint, tt.want) {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

func TestManagedIdentityIsNotAskedForATenantThatItsTokenCannotName(t *testing.T) {
	cloud := newAzure(t)
	for name, use := range map[string]func(*azure){"App Service": (*azure).appService, "machine": (*azure).machine} {
		t.Run(name, func(t *testing.T) {
			c := cloud.in(t)
			use(c)
			src := c.source(Entra{Resource: c.uri, Tenant: "corp.example"})
			for range 2 { // the second time its token is cached by azidentity
				_, err := src.Token(t.Context(), token.Ask{})
				e := wantError(t, err, token.Misconfigured)
				if !passesOn(e) || !strings.Contains(e.Hint, "GUID") || !strings.Contains(e.Message, "corp.example") {
					t.Errorf("%+v", e)
				}
			}
			if _, err := c.source(Entra{Resource: c.uri, Tenant: tenant}).Token(t.Context(), token.Ask{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSourceThatServedIsNotReplacedForAMomentOfSilence(t *testing.T) {
	rejected, err := token.New("one", "default", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		ask    token.Ask
		first  []any
		passes bool
	}{
		{"a refresh", token.Ask{Quiet: true}, []any{"one", nothing}, false},
		{"a refused token", token.Ask{Rejected: rejected}, []any{"one", nothing}, false},
		{"no token is left", token.Ask{}, []any{"one", nothing}, true},
		{"a refresh of somebody else's token", token.Ask{Quiet: true}, []any{nothing, nothing}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := NewOrder(OrderOptions{}, answers("default", tt.first...), answers("az", "two"))
			if _, err := o.Token(t.Context(), token.Ask{}); err != nil {
				t.Fatal(err)
			}
			got, err := o.Token(t.Context(), tt.ask)
			if passed := got.Reveal() == "two"; passed != tt.passes || !passed && classOf(err) != token.Transient {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
}

func TestWhatAPersonCanDoIsSaidFirst(t *testing.T) {
	_, err := NewOrder(OrderOptions{}, answers("default", nothing), door{answers("az", absent)}).Token(t.Context(), token.Ask{})
	if e, ok := errors.AsType[*token.Error](err); !ok || e.Hint != "install it; or set it" {
		t.Errorf("%+v", err)
	}
}
