package source

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// step is a source whose answers are written down beforehand; the last one is
// given for ever.
type step struct {
	name    string
	answers []any // a token's value or an error
	asked   []token.Ask
}

func (s *step) Token(_ context.Context, ask token.Ask) (token.Token, error) {
	s.asked = append(s.asked, ask)
	a := s.answers[min(len(s.asked), len(s.answers))-1]
	if err, ok := a.(error); ok {
		return token.Token{}, err
	}
	return token.New(a.(string), s.name, time.Time{})
}

// door is a step that a person can sign in to.
type door struct{ *step }

func (d door) SignIn(context.Context, string, func(string)) error { return nil }
func (d door) Command(string) string                              { return d.name + " login" }

func answers(name string, a ...any) *step { return &step{name: name, answers: a} }

// Failures as the sources have them.
var (
	nothing   = &token.Error{Class: token.Misconfigured, Source: "default", Message: "nothing is configured", Hint: "set it", Err: ErrNoCredential}
	absent    = &token.Error{Class: token.NotInstalled, Source: "az", Message: "is not installed", Hint: "install it"}
	signedIn  = &token.Error{Class: token.SignIn, Source: "az", Code: "AADSTS70043", Message: "the sign-in is over", Hint: "az login"}
	elsewhere = &token.Error{Class: token.SignIn, Source: "default", Code: "AADSTS50076", Message: "a factor is due"}
	consent   = &token.Error{Class: token.Consent, Source: "az", Code: "AADSTS65001", Message: "no consent", Hint: "az login"}
	refused   = &token.Error{Class: token.Misconfigured, Source: "default", Code: "AADSTS7000215", Message: "the secret is wrong"}
	down      = &token.Error{Class: token.Transient, Source: "default", Message: "is down"}
	forbidden = &token.Error{Class: token.Policy, Source: "az", Message: "forbidden"}
	oddity    = &token.Error{Class: token.Unknown, Source: "az", Message: "strange"}
	sameOne   = &token.Error{Class: token.SignIn, Source: "az", Message: "the same again", Err: token.ErrSame}
)

func TestNextSourceHasItsTurnOnlyWhenTheOneBeforeHasNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  any
		second any
		want   string // token, or text of the error
		class  token.Class
	}{
		{"the first has one", "one", "two", "one", 0},
		{"nothing configured", nothing, "two", "two", 0},
		{"not installed", absent, "two", "two", 0},
		{"not signed in", signedIn, "two", "two", 0},
		{"refused", refused, "two", "AADSTS7000215", token.Misconfigured},
		{"down", down, "two", "is down", token.Transient},
		{"policy", forbidden, "two", "forbidden", token.Policy},
		{"unknown", oddity, "two", "strange", token.Unknown},
		{"an error of no class", errors.New("odd"), "two", "odd", token.Unknown},
		{"the same token again", sameOne, "two", "the same again", token.SignIn},
		{"consent", consent, "two", "AADSTS65001", token.Consent},
		{"nothing, then not signed in", nothing, signedIn, "AADSTS70043", token.SignIn},
		{"not signed in, then absent", signedIn, absent, "AADSTS70043", token.SignIn},
		{"two that want a sign-in", elsewhere, signedIn, "default: AADSTS50076: a factor is due; az: AADSTS70043: the sign-in is over", token.SignIn},
		{"nothing, then down", nothing, down, "is down", token.Transient},
		{"neither is there", nothing, absent, "no source has a token: default: nothing is configured; az: is not installed", token.NotInstalled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := NewOrder(OrderOptions{}, answers("a", tt.first), answers("b", tt.second))
			got, err := o.Token(t.Context(), token.Ask{})
			if err == nil {
				if got.Reveal() != tt.want {
					t.Errorf("token %q, want %q", got.Reveal(), tt.want)
				}
				return
			}
			if !strings.Contains(err.Error(), tt.want) || classOf(err) != tt.class {
				t.Errorf("%v (%v), want %q (%v)", err, classOf(err), tt.want, tt.class)
			}
		})
	}
}

func TestNoSourceAtAllNamesEachRemedy(t *testing.T) {
	gone := *absent
	gone.Stale = func() bool { return true }
	_, err := NewOrder(OrderOptions{}, answers("a", nothing), answers("b", &gone)).Token(t.Context(), token.Ask{})
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Hint != "set it; or install it" || !errors.Is(err, ErrNoCredential) {
		t.Fatalf("%+v", e)
	}
	if e.Stale == nil || !e.Stale() {
		t.Error("the error does not tell that a source may have come up")
	}
	gone.Stale = nil
	_, err = NewOrder(OrderOptions{}, answers("a", nothing), answers("b", &gone)).Token(t.Context(), token.Ask{})
	if e, _ := errors.AsType[*token.Error](err); e.Stale != nil && e.Stale() {
		t.Error("the error is stale at once")
	}
}

// claimsOf makes a token that says whose it is.
func claimsOf(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + "." + part([]byte("s"))
}

const (
	ofPerson      = `{"tid":"` + tenant + `","scp":"read","upn":"alice@corp.example","idtyp":"user"}`
	ofApplication = `{"tid":"` + tenant + `","idtyp":"app","appid":"` + client + `"}`
)

func TestTokenOfAnotherTenantOrIdentityIsNotHandedOut(t *testing.T) {
	app, person, opaque := claimsOf(ofApplication), claimsOf(ofPerson), "opaque"
	foreign := claimsOf(strings.ReplaceAll(ofPerson, tenant, tenant2))
	for _, tt := range []struct {
		name          string
		o             OrderOptions
		first, second string
		want          string
	}{
		{"anybody", OrderOptions{}, app, person, app},
		{"a person", OrderOptions{UserOnly: true}, app, person, person},
		{"opaque is no person", OrderOptions{UserOnly: true}, opaque, person, person},
		{"own tenant", OrderOptions{Tenant: tenant}, app, person, app},
		{"tenant in capitals", OrderOptions{Tenant: strings.ToUpper(tenant)}, app, person, app},
		{"another tenant", OrderOptions{Tenant: tenant}, foreign, person, person},
		{"a domain cannot be compared", OrderOptions{Tenant: "corp.example"}, foreign, person, foreign},
		{"no tenant said", OrderOptions{Tenant: tenant}, opaque, person, opaque},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NewOrder(tt.o, answers("a", tt.first), answers("b", tt.second)).Token(t.Context(), token.Ask{})
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("%v, %v", got.Identity(), err)
			}
		})
	}
	for name, tt := range map[string]struct {
		o     OrderOptions
		value string
		want  []string
	}{
		"application": {OrderOptions{UserOnly: true}, app, []string{"a: ", "the application " + client, `identity is "user"`}},
		"tenant":      {OrderOptions{Tenant: tenant}, foreign, []string{"a: ", tenant2, "not of " + tenant}},
	} {
		t.Run("only "+name, func(t *testing.T) {
			got, err := NewOrder(tt.o, answers("a", tt.value), answers("b", absent)).Token(t.Context(), token.Ask{})
			if !got.IsZero() || err == nil || classOf(err) != token.Misconfigured {
				t.Fatalf("%v, %v", got, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), tt.value) {
				t.Error("the error holds the token")
			}
		})
	}
}

// asks counts the sign-ins, each of which ends with err.
type asks struct {
	err    error
	claims []string
	cause  []*token.Error
}

func (a *asks) signIn(_ context.Context, n Need) error {
	a.claims, a.cause = append(a.claims, n.Claims), append(a.cause, n.Cause)
	return a.err
}

func TestPersonIsAskedWhenNothingElseHelpsAndTheSourceOnceMore(t *testing.T) {
	az := answers("az", signedIn, "fresh")
	a := new(asks)
	got, err := NewOrder(OrderOptions{SignIn: a.signIn}, answers("default", nothing), door{az}).Token(t.Context(), token.Ask{})
	if err != nil || got.Reveal() != "fresh" {
		t.Fatalf("%v, %v", got, err)
	}
	if len(a.cause) != 1 || a.cause[0] != signedIn || len(az.asked) != 2 {
		t.Errorf("%d sign-ins, az asked %d times", len(a.cause), len(az.asked))
	}
}

func TestFailedSignInTellsOfTheSourcesBeforeIt(t *testing.T) {
	a := &asks{err: &token.Error{Class: token.Declined, Message: "it was declined"}}
	o := NewOrder(OrderOptions{SignIn: a.signIn, UserOnly: true}, answers("default", claimsOf(ofApplication)), door{answers("az", signedIn)})
	_, err := o.Token(t.Context(), token.Ask{})
	want := "az: AADSTS70043: the sign-in is over; it was declined; default: its token is of the application " + client + `, and identity is "user"`
	if err == nil || err.Error() != want || classOf(err) != token.Declined {
		t.Errorf("%v (%v), want %s", err, classOf(err), want)
	}
}

func TestClaimsOfAChallengeAreSignedInForAndNotAskedForTwice(t *testing.T) {
	rejected, err := token.New("old", "az", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	az := answers("az", signedIn, "fresh")
	a := new(asks)
	ask := token.Ask{Rejected: rejected, Claims: `{"access_token":{}}`}
	got, err := NewOrder(OrderOptions{SignIn: a.signIn}, door{az}).Token(t.Context(), ask)
	if err != nil || got.Reveal() != "fresh" || !slices.Equal(a.claims, []string{ask.Claims}) {
		t.Fatalf("%v, %v, signed in for %q", got, err, a.claims)
	}
	if last := az.asked[1]; last.Claims != "" || !last.Rejected.Equal(rejected) {
		t.Errorf("asked once more with %+v", last)
	}
}

func TestPersonIsLeftAlone(t *testing.T) {
	rejected, err := token.New("old", "az", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		ask  token.Ask
		src  token.Source
	}{
		{"for a refresh that nobody waits for", token.Ask{Quiet: true}, door{answers("az", signedIn)}},
		{"for a refused token without claims", token.Ask{Rejected: rejected}, door{answers("az", signedIn)}},
		{"for the same token again", token.Ask{Rejected: rejected, Claims: "{}"}, door{answers("az", sameOne)}},
		{"by a source without a sign-in", token.Ask{}, answers("azd", signedIn)},
		{"when the tool is absent", token.Ask{}, door{answers("az", absent)}},
		{"when policy forbids it", token.Ask{}, door{answers("az", forbidden)}},
		{"when the cause is unknown", token.Ask{}, door{answers("az", oddity)}},
		{"when the service is down", token.Ask{}, door{answers("az", down)}},
		{"when it is misconfigured", token.Ask{}, door{answers("az", refused)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := new(asks)
			_, err := NewOrder(OrderOptions{SignIn: a.signIn}, tt.src).Token(t.Context(), tt.ask)
			if err == nil || len(a.cause) != 0 {
				t.Errorf("%v, %d sign-ins", err, len(a.cause))
			}
		})
	}
}

func TestFailedSignInKeepsWhatTheIdentityServiceSaid(t *testing.T) {
	a := &asks{err: &token.Error{Class: token.Declined, Message: "the sign-in was declined", Hint: "az login --now"}}
	stale := *signedIn
	stale.Stale = func() bool { return true }
	az := answers("az", &stale)
	_, err := NewOrder(OrderOptions{SignIn: a.signIn}, door{az}).Token(t.Context(), token.Ask{})
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Class != token.Declined || e.Code != "AADSTS70043" || e.Hint != "az login --now" || e.Stale == nil {
		t.Fatalf("%+v", e)
	}
	if want := "az: AADSTS70043: the sign-in is over; the sign-in was declined"; e.Error() != want {
		t.Errorf("%q, want %q", e.Error(), want)
	}
	if len(az.asked) != 1 {
		t.Errorf("az asked %d times", len(az.asked))
	}
}

func TestSignInMadeElsewhereIsNoticedOnce(t *testing.T) {
	back := 0
	claims := token.Ask{Claims: `{"access_token":{}}`}
	az := answers("az", signedIn, "one", "one", signedIn, "one", signedIn, "one")
	o := NewOrder(OrderOptions{Back: func() { back++ }}, door{az})
	for i, tt := range []struct {
		ask  token.Ask
		back int
	}{
		{token.Ask{}, 0},            // wants a sign-in
		{token.Ask{Quiet: true}, 1}, // has a token again
		{token.Ask{}, 1},            // as before
		{claims, 1},                 // wants one because of the claims
		{token.Ask{}, 1},            // which says nothing of the session
		{token.Ask{Quiet: true}, 1}, // wants one, whoever asks
		{token.Ask{}, 2},
	} {
		_, _ = o.Token(t.Context(), tt.ask)
		if back != tt.back {
			t.Errorf("after call %d somebody was back %d times, want %d", i, back, tt.back)
		}
	}
}

func TestOwnSignInIsNoneMadeElsewhere(t *testing.T) {
	back := 0
	a := new(asks)
	o := NewOrder(OrderOptions{SignIn: a.signIn, Back: func() { back++ }}, door{answers("az", signedIn, "one")})
	for range 3 {
		if _, err := o.Token(t.Context(), token.Ask{}); err != nil {
			t.Fatal(err)
		}
	}
	if back != 0 || len(a.cause) != 1 {
		t.Errorf("somebody was back %d times, after %d sign-ins", back, len(a.cause))
	}
}
