package entratest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/golang-jwt/jwt/v5"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// ask requests a token and returns the AADSTS code of the answer, 0 for a token.
func ask(ctx context.Context, a *entratest.Authority, tenant string, form url.Values) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL()+"/"+tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := a.HTTPClient().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var body struct {
		Codes []int  `json:"error_codes"`
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return 0, err
	}
	switch {
	case resp.StatusCode == http.StatusOK && body.Token != "" && len(body.Codes) == 0:
		return 0, nil
	case resp.StatusCode >= 400 && body.Token == "" && len(body.Codes) == 1:
		return body.Codes[0], nil
	}
	return 0, fmt.Errorf("status %d with codes %v, a token: %v", resp.StatusCode, body.Codes, body.Token != "")
}

// post is ask where an answer is certain.
func post(ctx context.Context, t *testing.T, a *entratest.Authority, tenant string, form url.Values) int {
	t.Helper()
	code, err := ask(ctx, a, tenant, form)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func secretForm(edit url.Values) url.Values {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {app}, "client_secret": {secret},
		"scope": {"api://" + apiV1 + "/.default openid offline_access profile"},
	}
	for name, values := range edit {
		form[name] = values
	}
	return form
}

func TestTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	a := start(t)
	tests := []struct {
		name, tenant string
		edit         url.Values
		code         int
	}{
		{"nothing", tenant, nil, 0},
		{"a tenant it does not have", apiV1, nil, 90002},
		{"a tenant that is none", "common!", nil, 900023},
		{"a client it does not have", tenant, url.Values{"client_id": {apiV1}}, 700016},
		{"a wrong secret", tenant, url.Values{"client_secret": {secret + "x"}}, 7000215},
		{"no credential", tenant, url.Values{"client_secret": nil}, 7000218},
		{"an assertion that is none", tenant, assertionForm("hello"), 700027},
		{"no grant type", tenant, url.Values{"grant_type": nil}, 900144},
		{"another grant type", tenant, url.Values{"grant_type": {"password"}}, 70003},
		{"no scope", tenant, url.Values{"scope": {"openid"}}, 900144},
		{"two scopes", tenant, url.Values{"scope": {vault + "/.default api://" + apiV2 + "/.default"}}, 70011},
		{"a delegated scope", tenant, url.Values{"scope": {"api://" + apiV1 + "/read"}}, 1002012},
		{"a scope without a name", tenant, url.Values{"scope": {"api:///.default"}}, 70011},
		{"a resource it does not have", tenant, url.Values{"scope": {"api://" + app + "/.default"}}, 500011},
		{"a resource of another path", tenant, url.Values{"scope": {vault + "/x/.default"}}, 500011},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code := post(t.Context(), t, a, tt.tenant, secretForm(tt.edit)); code != tt.code {
				t.Errorf("AADSTS%d, want AADSTS%d", code, tt.code)
			}
		})
	}
}

func assertionForm(assertion string) url.Values {
	return url.Values{
		"client_secret": nil, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

func signed(t *testing.T, method jwt.SigningMethod, key crypto.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	for name, v := range header {
		token.Header[name] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// with returns base with some entries replaced, nil meaning removed.
func with(base, edit map[string]any) map[string]any {
	out := make(map[string]any)
	for _, m := range []map[string]any{base, edit} {
		for k, v := range m {
			if out[k] = v; v == nil {
				delete(out, k)
			}
		}
	}
	return out
}

func TestCertificateAssertionIsChecked(t *testing.T) {
	t.Parallel()
	cert := selfSigned(t, rsaKey())
	a := start(t, func(o *entratest.Options) { o.Clients[0].Certificates = []*x509.Certificate{cert} })
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum1, sum256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
	thumbprint := map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum256[:])}
	now := time.Now().Unix()
	good := map[string]any{"aud": a.URL() + "/" + tenant + "/oauth2/v2.0/token", "iss": app, "sub": app, "exp": now + 600, "nbf": now - 1}
	type m = map[string]any
	tests := []struct {
		name   string
		method jwt.SigningMethod
		key    crypto.PrivateKey
		header m
		claims m
		code   int
	}{
		{"PS256 by SHA-256", jwt.SigningMethodPS256, rsaKey(), thumbprint, nil, 0},
		{"RS256 by SHA-1", jwt.SigningMethodRS256, rsaKey(), m{"x5t": base64.StdEncoding.EncodeToString(sum1[:])}, nil, 0},
		{"RS256 by chain", jwt.SigningMethodRS256, rsaKey(), m{"x5c": []string{base64.StdEncoding.EncodeToString(cert.Raw)}}, nil, 0},
		{"audience is the issuer", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"aud": a.URL() + "/" + tenant + "/v2.0"}, 0},
		{"no thumbprint", jwt.SigningMethodPS256, rsaKey(), nil, nil, 700027},
		{"another key", jwt.SigningMethodPS256, stranger, thumbprint, nil, 700027},
		{"a chain of its own", jwt.SigningMethodPS256, stranger, m{"x5c": []string{base64.StdEncoding.EncodeToString(selfSigned(t, stranger).Raw)}}, nil, 700027},
		{"the public key as an HMAC secret", jwt.SigningMethodHS256, cert.RawSubjectPublicKeyInfo, thumbprint, nil, 700027},
		{"unsigned", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, thumbprint, nil, 700027},
		{"for another service", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"aud": "https://evil.example/token"}, 700023},
		{"for another tenant", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"aud": a.URL() + "/" + apiV1 + "/oauth2/v2.0/token"}, 700023},
		{"of another client", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"sub": apiV1}, 700021},
		{"expired", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"exp": now - 600}, 700024},
		{"not valid yet", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"nbf": now + 600}, 700024},
		{"for ever", jwt.SigningMethodPS256, rsaKey(), thumbprint, m{"exp": nil}, 700027},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assertion := signed(t, tt.method, tt.key, tt.header, with(good, tt.claims))
			if code := post(t.Context(), t, a, tenant, secretForm(assertionForm(assertion))); code != tt.code {
				t.Errorf("AADSTS%d, want AADSTS%d", code, tt.code)
			}
		})
	}
}

func TestFederatedAssertionIsChecked(t *testing.T) {
	t.Parallel()
	const issuer, subject = "https://cluster.example", "system:serviceaccount:ns:sa"
	a := start(t, func(o *entratest.Options) {
		o.Clients[0].Federated = []entratest.Federation{
			{Issuer: "https://other.example", Subject: "x", Key: rsaKey().Public()},
			{Issuer: issuer, Subject: subject, Key: rsaKey().Public()},
		}
	})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	good := map[string]any{"iss": issuer, "sub": subject, "aud": []string{"api://AzureADTokenExchange"}, "exp": now + 600}
	tests := []struct {
		name   string
		key    *rsa.PrivateKey
		claims map[string]any
		code   int
	}{
		{"good", rsaKey(), nil, 0},
		{"another issuer", rsaKey(), map[string]any{"iss": "https://evil.example"}, 700211},
		{"another subject", rsaKey(), map[string]any{"sub": "system:serviceaccount:ns:other"}, 700213},
		{"another audience", rsaKey(), map[string]any{"aud": "api://" + apiV1}, 700212},
		{"another key", stranger, nil, 700027},
		{"expired", rsaKey(), map[string]any{"exp": now - 600}, 700024},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assertion := signed(t, jwt.SigningMethodRS256, tt.key, nil, with(good, tt.claims))
			if code := post(t.Context(), t, a, tenant, secretForm(assertionForm(assertion))); code != tt.code {
				t.Errorf("AADSTS%d, want AADSTS%d", code, tt.code)
			}
		})
	}
	if _, err := a.Assertion(app); err == nil {
		t.Error("an assertion for a client that trusts other issuers only")
	}
	var failed *azidentity.AuthenticationFailedError
	_, err = get(t.Context(), workloadCredential(t, a, signed(t, jwt.SigningMethodRS256, stranger, nil, good)), vault+"/.default")
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("the credential says %v, want AADSTS700027", err)
	}
}
