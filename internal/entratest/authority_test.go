package entratest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	app    = "22222222-2222-4222-8222-222222222222"
	apiV1  = "33333333-3333-4333-8333-333333333333"
	apiV2  = "44444444-4444-4444-8444-444444444444"
	secret = "s3cret~of.the-app"
	vault  = "https://vault.example"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns an authority with one tenant, one client (as edit leaves it)
// and a v1 and a v2 resource.
func start(t *testing.T, edit ...func(*entratest.Options)) *entratest.Authority {
	t.Helper()
	o := entratest.Options{
		Tenants: []string{tenant},
		Clients: []entratest.Client{{ID: app, Secrets: []string{secret}}},
		Resources: []entratest.Resource{
			{ID: apiV1, URIs: []string{vault}, Roles: []string{"Reader", "Writer"}, Scopes: []string{"access_as_user"}},
			{ID: apiV2, Version: 2, Scopes: []string{"read", "write"}},
		},
	}
	for _, e := range edit {
		e(&o)
	}
	a, err := entratest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("closing the authority: %v", err)
		}
	})
	return a
}

// clientOptions returns what points an azidentity credential at a.
func clientOptions(a *entratest.Authority) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: a.URL()},
		Transport: a.HTTPClient(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func secretCredential(t *testing.T, a *entratest.Authority, value string) azcore.TokenCredential {
	t.Helper()
	c, err := azidentity.NewClientSecretCredential(tenant, app, value, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: clientOptions(a), DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(ctx context.Context, c azcore.TokenCredential, scope string) (string, error) {
	t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true})
	return t.Token, err
}

func mustGet(t *testing.T, c azcore.TokenCredential, scope string) string {
	t.Helper()
	token, err := get(t.Context(), c, scope)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// guarded returns a context that ends a test which hangs.
func guarded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTokenHasTheShapeOfItsVersion(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := secretCredential(t, a, secret)
	tests := []struct {
		name, scope, audience, ver, iss, aud, application string
	}{
		{"v1 by id", "api://" + apiV1 + "/.default", apiV1, "1.0", "https://sts.windows.net/" + tenant + "/", "api://" + apiV1, "appid"},
		{"v1 by URI", vault + "/.default", vault, "1.0", "https://sts.windows.net/" + tenant + "/", vault, "appid"},
		{"v1 by URI and slash", vault + "//.default", vault, "1.0", "https://sts.windows.net/" + tenant + "/", vault + "/", "appid"},
		{"v2", "api://" + apiV2 + "/.default", apiV2, "2.0", a.URL() + "/" + tenant + "/v2.0", apiV2, "azp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims, err := a.Validate(mustGet(t, c, tt.scope), tt.audience)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"ver": tt.ver, "iss": tt.iss, "aud": tt.aud, tt.application: app, tt.application + "acr": "1", "tid": tenant, "idtyp": "app"}
			for name, v := range want {
				if claims[name] != v {
					t.Errorf("%s = %v, want %v", name, claims[name], v)
				}
			}
			for _, name := range []string{"oid", "sub", "uti", "iat", "nbf", "exp"} {
				if claims[name] == nil {
					t.Errorf("no %s", name)
				}
			}
		})
	}
}

func TestEveryTokenDiffersUntilReplayed(t *testing.T) {
	t.Parallel()
	a := start(t)
	scope := "api://" + apiV1 + "/.default"
	fresh := func() string { return mustGet(t, secretCredential(t, a, secret), scope) }
	first, second := fresh(), fresh()
	if first == second {
		t.Error("two acquisitions yielded one token")
	}
	a.ReplayTokens(true)
	if got := fresh(); got != second {
		t.Error("replaying, the last token was not handed out again")
	}
	a.ReplayTokens(false)
	if got := fresh(); got == second {
		t.Error("no longer replaying, the last token was handed out again")
	}
}

func TestRevokedTokenIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t)
	scope := "api://" + apiV1 + "/.default"
	one := mustGet(t, secretCredential(t, a, secret), scope)
	two := mustGet(t, secretCredential(t, a, secret), scope)
	a.Revoke(one)
	if _, err := a.Validate(one, apiV1); !errors.Is(err, entratest.ErrRevoked) {
		t.Errorf("revoked token: %v, want ErrRevoked", err)
	}
	if _, err := a.Validate(two, apiV1); err != nil {
		t.Errorf("the other token: %v", err)
	}
	a.RevokeAll()
	if _, err := a.Validate(two, apiV1); !errors.Is(err, entratest.ErrRevoked) {
		t.Errorf("after RevokeAll: %v, want ErrRevoked", err)
	}
	if _, err := a.Validate(mustGet(t, secretCredential(t, a, secret), scope), apiV1); err != nil {
		t.Errorf("token issued after RevokeAll: %v", err)
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := start(t, func(o *entratest.Options) { o.Now = func() time.Time { return now } })
	other := start(t)
	issue := func(a *entratest.Authority, g entratest.Grant) string {
		token, err := a.Issue(g)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := issue(a, entratest.Grant{Client: app, Audience: apiV1})
	if _, err := a.Validate(good, apiV1); err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	tests := []struct {
		name, token, audience string
		want                  error
	}{
		{"another audience", good, apiV2, jwt.ErrTokenInvalidAudience},
		{"an audience nobody registered", good, "https://elsewhere.example", jwt.ErrTokenInvalidAudience},
		{"another authority's key", issue(other, entratest.Grant{Client: app, Audience: apiV1}), apiV1, jwt.ErrTokenUnverifiable},
		{"no signature", none + "." + payload + ".", apiV1, jwt.ErrTokenSignatureInvalid},
		{"another signature", head + "." + payload + "." + strings.Repeat("A", 342), apiV1, jwt.ErrTokenSignatureInvalid},
		{"expired", issue(a, entratest.Grant{Client: app, Audience: apiV1, Claims: map[string]any{"exp": now.Unix() - 1}}), apiV1, jwt.ErrTokenExpired},
		{"no expiry", issue(a, entratest.Grant{Client: app, Audience: apiV1, Claims: map[string]any{"exp": nil}}), apiV1, jwt.ErrTokenRequiredClaimMissing},
		{"foreign issuer", issue(a, entratest.Grant{Client: app, Audience: apiV1, Claims: map[string]any{"iss": "https://evil.example"}}), apiV1, jwt.ErrTokenInvalidIssuer},
		{"no JWT", "hello", apiV1, jwt.ErrTokenMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := a.Validate(tt.token, tt.audience); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestTokenEndsWhenItsLifetimeHasPassed(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a := start(t, func(o *entratest.Options) {
		o.Now, o.Lifetime = func() time.Time { return now }, 90*time.Second
	})
	token, err := a.Issue(entratest.Grant{Client: app, Audience: apiV1})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(89 * time.Second)
	if _, err := a.Validate(token, apiV1); err != nil {
		t.Errorf("within its lifetime: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := a.Validate(token, apiV1); !errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("after its lifetime: %v, want expired", err)
	}
}

func TestUserTokenCarriesScopes(t *testing.T) {
	t.Parallel()
	a := start(t)
	user := &entratest.User{ObjectID: "77777777-7777-4777-8777-777777777777", Username: "ada@corp.example", Name: "Ada"}
	token, err := a.Issue(entratest.Grant{Client: app, Audience: apiV2, User: user})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := a.Validate(token, apiV2)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"scp": "read write", "idtyp": "user", "oid": user.ObjectID, "preferred_username": user.Username, "roles": nil} {
		if claims[name] != want {
			t.Errorf("%s = %v, want %v", name, claims[name], want)
		}
	}
}

func TestTokenEndpointSaysHowLongATokenLives(t *testing.T) {
	t.Parallel()
	type answer struct {
		ExpiresIn int64 `json:"expires_in"`
		RefreshIn int64 `json:"refresh_in"`
	}
	for lifetime, want := range map[time.Duration]answer{
		0:              {ExpiresIn: 3600},
		time.Second:    {ExpiresIn: 1},
		24 * time.Hour: {ExpiresIn: 86400, RefreshIn: 43200},
	} {
		now := time.Now().Truncate(time.Second).Add(500 * time.Millisecond)
		a := start(t, func(o *entratest.Options) { o.Lifetime, o.Now = lifetime, func() time.Time { return now } })
		var got answer
		postJSON(t, a, tenant+"/oauth2/v2.0/token", secretForm(nil), &got)
		if got != want {
			t.Errorf("lifetime %s: %+v, want %+v", lifetime, got, want)
		}
	}
}

func TestCertificateToTrustIsHandedOut(t *testing.T) {
	t.Parallel()
	a := start(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(a.CAPEM()) {
		t.Fatal("no certificate in CAPEM")
	}
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: pool}}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.URL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
