package exchange

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const clientID = "11111111-d300-468d-8c1d-000000000000"

// people are two users.
func people() (ada, bob entratest.User) {
	return entratest.User{ObjectID: "a0a0a0a0-d300-468d-8c1d-000000000000", Name: "ada@corp.example"},
		entratest.User{ObjectID: "b0b0b0b0-d300-468d-8c1d-000000000000", Name: "bob@corp.example"}
}

// azure is a simulated authority with the gate's application.
type azure struct {
	*entratest.Authority
	t *testing.T
}

func newAzure(t *testing.T, change ...func(*entratest.Options)) *azure {
	t.Helper()
	o := entratest.Options{
		Tenants:   []string{tenant},
		Clients:   []entratest.Client{{ID: gateID, Secrets: []string{canary}}, {ID: clientID, Public: true}},
		Resources: []entratest.Resource{{ID: gateID, Version: 2, Scopes: []string{"access_as_user"}}, entratest.Graph()},
	}
	for _, f := range change {
		f(&o)
	}
	a, err := entratest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &azure{a, t}
}

// token returns what a client shows the gate for u.
func (a *azure) token(u entratest.User) string {
	a.t.Helper()
	t, err := a.Issue(entratest.Grant{Client: clientID, Audience: gateID, User: &u})
	if err != nil {
		a.t.Fatal(err)
	}
	return t
}

// exchanger returns an Exchanger with a secret, and whatever change makes of it.
func (a *azure) exchanger(change ...func(*Options)) *Exchanger {
	a.t.Helper()
	o := Options{Authority: a.URL(), ClientID: gateID, Scopes: []string{scope}, HTTP: a.HTTPClient()}
	for _, f := range change {
		f(&o)
	}
	if o.Credential == (Credential{}) {
		o.Credential.SecretFile = write(a.t, "secret", canary+"\n")
	}
	e, err := New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(e.Close)
	return e
}

// speaksFor checks that a token is one of Graph for u.
func (a *azure) speaksFor(u entratest.User, exchanged string) {
	a.t.Helper()
	claims, err := a.Validate(exchanged, "https://graph.microsoft.com")
	if err != nil || claims["oid"] != u.ObjectID || claims["scp"] != "User.Read" {
		a.t.Fatalf("claims %v, %v, want a token of %s", claims, err, u.Name)
	}
}

func (a *azure) asked(u entratest.User) int {
	return a.Count(entratest.Request{Endpoint: entratest.TokenEndpoint, Grant: entratest.OnBehalfOf, User: u.ObjectID})
}

func TestTokensOfTwoUsersNeverCross(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	e := a.exchanger()
	ada, bob := people()
	assertions := []string{a.token(ada), a.token(bob)}
	got := make([]string, 2000)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = e.Exchange(t.Context(), tenant, assertions[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a.speaksFor(ada, got[0])
	a.speaksFor(bob, got[1])
	for i := range got {
		if got[i] != got[i%2] {
			t.Fatalf("call %d has a token of somebody else, or a second one", i)
		}
	}
	if a.asked(ada) != 1 || a.asked(bob) != 1 {
		t.Errorf("Entra was asked %d times for one user, %d for the other", a.asked(ada), a.asked(bob))
	}
}

func TestRenewedAssertionIsExchangedAgain(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	e := a.exchanger()
	ada, _ := people()
	seen := map[string]bool{}
	for n := 1; n <= 3; n++ {
		assertion := a.token(ada)
		for range 2 {
			got, err := e.Exchange(t.Context(), tenant, assertion)
			if err != nil {
				t.Fatal(err)
			}
			a.speaksFor(ada, got)
			seen[got] = true
		}
		if len(seen) != n || a.asked(ada) != n {
			t.Fatalf("after %d tokens: %d exchanged, asked %d times", n, len(seen), a.asked(ada))
		}
	}
}

func TestChallengedUserGetsTheClaimsWhileOthersGoOn(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	e := a.exchanger()
	ada, bob := people()
	if err := a.RequireContext(ada.ObjectID, graphID, "c1"); err != nil {
		t.Fatal(err)
	}
	assertion := a.token(ada)
	for range 3 {
		_, err := e.Exchange(t.Context(), tenant, assertion)
		if r := wantRefusal(t, Challenged, err); r.Claims != entratest.ContextClaims("c1") || r.Code != 50076 {
			t.Errorf("challenged with %+v", r)
		}
	}
	if n := a.asked(ada); n != 1 {
		t.Errorf("Entra was asked %d times", n)
	}
	got, err := e.Exchange(t.Context(), tenant, a.token(bob))
	if err != nil {
		t.Fatal(err)
	}
	a.speaksFor(bob, got)
	stronger, err := a.Issue(entratest.Grant{Client: clientID, Audience: gateID, User: &ada, Claims: map[string]any{"acrs": []string{"c1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = e.Exchange(t.Context(), tenant, stronger); err != nil {
		t.Fatal(err)
	}
	a.speaksFor(ada, got)
}

func TestRefusalsOfEntraHaveTheirReason(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	ada, _ := people()
	for _, tt := range []struct {
		name string
		do   func()
		want Reason
		code int
	}{
		{"the sign-in is over", func() { a.RevokeAll() }, SignIn, 50173},
		{"consent is missing", func() { must(t, a.SetConsents(gateID, []entratest.Consent{})) }, Consent, 65001},
	} {
		e, assertion := a.exchanger(), a.token(ada)
		tt.do()
		_, err := e.Exchange(t.Context(), tenant, assertion)
		if r := wantRefusal(t, tt.want, err); r.Code != tt.code {
			t.Errorf("%s: %+v", tt.name, r)
		}
		must(t, a.SetConsents(gateID, nil))
	}
	foreign, err := a.Issue(entratest.Grant{Client: clientID, Audience: graphID, User: &ada})
	must(t, err)
	_, err = a.exchanger().Exchange(t.Context(), tenant, foreign)
	if r := wantRefusal(t, Misconfigured, err); r.Code != 500131 {
		t.Errorf("a token for another: %+v", r)
	}
	a.Down()
	_, err = a.exchanger().Exchange(t.Context(), tenant, a.token(ada))
	wantRefusal(t, Unavailable, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rsaKey is one key for all tests: making them is what takes time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// newCertificate returns a certificate and, as PEM, it and its key.
func newCertificate(t *testing.T) (*x509.Certificate, string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey())
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	must(t, err)
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// The environment is the process's: not parallel.
func TestEachCredentialIsAccepted(t *testing.T) {
	cert, text := newCertificate(t)
	identity := uuid.NewString() // azidentity keeps its tokens for the process
	a := newAzure(t, func(o *entratest.Options) {
		o.Clients[0].Certificates = []*x509.Certificate{cert}
		o.Clients[0].Federated = []entratest.Federation{{}, {Identity: identity}}
		o.Clients = append(o.Clients, entratest.Client{ID: identity, Managed: true})
	})
	projected, err := a.Assertion(gateID)
	must(t, err)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", write(t, "projected", projected))
	for k, v := range a.IdentityEnv() {
		t.Setenv(k, v)
	}
	t.Setenv("MSAL_FORCE_REGION", "westeurope") // the configuration says who is asked
	ada, _ := people()
	for _, c := range []Credential{
		{SecretFile: write(t, "secret", canary)},
		{SecretFile: write(t, "secret", canary+"\r\n")},
		{Certificate: write(t, "gate.pem", text)},
		{Federated: WorkloadIdentity},
		{Federated: ManagedIdentity, Identity: identity},
	} {
		e := a.exchanger(func(o *Options) { o.Credential = c })
		got, err := e.Exchange(t.Context(), tenant, a.token(ada))
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		a.speaksFor(ada, got)
	}
}

func TestReplacedCredentialIsUsed(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	ada, _ := people()
	var log bytes.Buffer
	dir := t.TempDir()
	link := filepath.Join(dir, "secret") // as Kubernetes mounts a Secret
	point := func(name, text string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		must(t, os.Symlink(name, link+".new"))
		must(t, os.Rename(link+".new", link))
	}
	point("wrong", canary+"-wrong")
	e := a.exchanger(func(o *Options) {
		o.Credential.SecretFile, o.Log = link, slog.New(slog.NewTextHandler(&log, nil))
	})
	_, err := e.Exchange(t.Context(), tenant, a.token(ada))
	if r := wantRefusal(t, Misconfigured, err); r.Code != 7000215 {
		t.Errorf("refused with %+v", r)
	}
	point("right", canary)
	exchange := func() {
		t.Helper()
		got, err := e.Exchange(t.Context(), tenant, a.token(ada))
		must(t, err)
		a.speaksFor(ada, got)
	}
	exchange()
	for range 3 {
		point("empty", "\n")
		exchange() // what worked keeps working
	}
	must(t, os.Remove(link))
	exchange()
	point("right", canary)
	exchange()
	if n := strings.Count(log.String(), "level=WARN"); n != 2 || strings.Contains(log.String(), canary) {
		t.Errorf("%d warnings, want one for each trouble: %s", n, log.String())
	}
}

func TestUnusableCredentialsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	_, text := newCertificate(t)
	key, rest, _ := strings.Cut(text, "-----BEGIN CERTIFICATE")
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(canary)}))
	for _, tt := range []struct {
		name string
		c    Credential
		says string
	}{
		{"none", Credential{}, "one of"},
		{"two", Credential{SecretFile: "a", Certificate: "b"}, "one of"},
		{"no file", Credential{SecretFile: "/nowhere/" + "secret"}, "cannot be read"},
		{"a directory", Credential{SecretFile: t.TempDir()}, "regular"},
		{"an empty secret", Credential{SecretFile: write(t, "s", "\n")}, "empty"},
		{"two lines", Credential{SecretFile: write(t, "s", canary+"\n"+canary)}, "one line"},
		{"too much", Credential{SecretFile: write(t, "s", strings.Repeat("x", maxFile+1))}, "too large"},
		{"no key", Credential{Certificate: write(t, "c", "-----BEGIN CERTIFICATE"+rest)}, "one private key"},
		{"no certificate", Credential{Certificate: write(t, "c", key)}, "one private key"},
		{"a password", Credential{Certificate: write(t, "c", encrypted+"-----BEGIN CERTIFICATE"+rest)}, "encrypted"},
		{"no PEM", Credential{Certificate: write(t, "c", canary)}, "PEM"},
		{"another word", Credential{Federated: "workload"}, "neither"},
	} {
		_, err := New(Options{ClientID: gateID, Scopes: []string{scope}, HTTP: http.DefaultClient, Credential: tt.c})
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestMissingConsentIsFound(t *testing.T) {
	t.Parallel()
	a := newAzure(t, func(o *entratest.Options) {
		o.Resources[1].Roles = []string{"Directory.Read.All"}
		o.Resources = append(o.Resources, entratest.Resource{ID: clientID, Version: 2, URIs: []string{"api://costs"}, Scopes: []string{"read", "User.Read"}})
	})
	ada, bob := people()
	graph := func(user string, scopes ...string) entratest.Consent {
		return entratest.Consent{Resource: graphID, Scopes: scopes, User: user}
	}
	const mail, all, costs = "https://graph.microsoft.com/Mail.Read", "https://graph.microsoft.com/.default", "api://costs/User.Read"
	for _, tt := range []struct {
		name     string
		consents []entratest.Consent
		asked    []string
		missing  []string
	}{
		{"to all of it", []entratest.Consent{graph("", "User.Read", "Mail.Read")}, []string{scope, mail}, nil},
		{"to a part", []entratest.Consent{graph("", "User.Read")}, []string{scope, mail}, []string{mail}},
		{"of single users", []entratest.Consent{graph(ada.ObjectID, "User.Read"), graph(bob.ObjectID, "User.Read"), {Resource: "api://costs", Scopes: []string{"read"}}}, []string{scope}, []string{scope}},
		{"on a later page", []entratest.Consent{graph(ada.ObjectID, "Mail.Read"), graph(bob.ObjectID, "Mail.Read"), graph("", "User.Read")}, []string{scope}, nil},
		{"to another API", []entratest.Consent{graph("", "User.Read")}, []string{costs}, []string{costs}},
		{"to whatever it is", []entratest.Consent{graph("", "User.Read")}, []string{all}, nil},
		{"to nothing", []entratest.Consent{}, []string{all}, []string{all}},
	} {
		must(t, a.SetConsents(gateID, tt.consents))
		missing, err := a.exchanger(func(o *Options) { o.Scopes = tt.asked }).CheckConsent(t.Context(), tenant)
		if err != nil || !slices.Equal(missing, tt.missing) {
			t.Errorf("consent %s: missing %q, %v, want %q", tt.name, missing, err, tt.missing)
		}
	}
}

func TestConsentThatCannotBeReadIsToldApart(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	e := a.exchanger()
	if _, err := e.CheckConsent(t.Context(), tenant); !errors.Is(err, ErrMayNotLook) {
		t.Errorf("without the permission: %v", err)
	}
	release := a.Fail(entratest.Failure{Endpoint: entratest.GraphEndpoint, Status: http.StatusServiceUnavailable})
	_, err := e.CheckConsent(t.Context(), tenant)
	wantRefusal(t, Unavailable, err)
	release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.CheckConsent(ctx, tenant)
	wantRefusal(t, Unavailable, err)
	a.Down()
	_, err = e.CheckConsent(t.Context(), tenant)
	wantRefusal(t, Unavailable, err)
}
