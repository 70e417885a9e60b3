package entratest_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// fetchKeys returns the key set at path, by key id.
func fetchKeys(t *testing.T, a *entratest.Authority, path string) map[string]*rsa.PublicKey {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, Kty, Use, N, E string }
	}
	getJSON(t, a, path, &set)
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if err := errors.Join(errN, errE); err != nil || k.Kty != "RSA" || k.Use != "sig" {
			t.Fatalf("key %+v: %v", k, err)
		}
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys
}

func getJSON(t *testing.T, a *entratest.Authority, path string, into any) {
	t.Helper()
	resp, err := a.HTTPClient().Get(a.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %s, %v", path, resp.StatusCode, body, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

func TestTokenVerifiesByThePublishedKeys(t *testing.T) {
	t.Parallel()
	a := start(t)
	verify := func(token, keysPath string) error {
		keys := fetchKeys(t, a, keysPath)
		_, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) {
			if key := keys[tok.Header["kid"].(string)]; key != nil {
				return key, nil
			}
			return nil, errors.New("key not published")
		}, jwt.WithValidMethods([]string{"RS256"}))
		return err
	}
	var config struct {
		Issuer  string
		KeysURI string `json:"jwks_uri"`
	}
	getJSON(t, a, "/"+tenant+"/v2.0/.well-known/openid-configuration", &config)
	if want := a.URL() + "/" + tenant + "/v2.0"; config.Issuer != want {
		t.Errorf("issuer %q, want %q", config.Issuer, want)
	}
	keysPath := strings.TrimPrefix(config.KeysURI, a.URL())

	old := mustGet(t, secretCredential(t, a, secret), "api://"+apiV1+"/.default")
	if err := verify(old, keysPath); err != nil {
		t.Errorf("by %s: %v", keysPath, err)
	}
	if err := verify(old, "/"+tenant+"/discovery/keys"); err != nil {
		t.Errorf("by the v1 key set: %v", err)
	}
	if err := a.RotateKey(); err != nil {
		t.Fatal(err)
	}
	rotated := mustGet(t, secretCredential(t, a, secret), "api://"+apiV1+"/.default")
	if err := errors.Join(verify(old, keysPath), verify(rotated, keysPath)); err != nil {
		t.Errorf("after rotation: %v", err)
	}
	a.RetireKeys()
	if err := verify(rotated, keysPath); err != nil {
		t.Errorf("after the old key's end: %v", err)
	}
	if verify(old, keysPath) == nil {
		t.Error("the old key is still published after its end")
	}
	if _, err := a.Validate(old, apiV1); !errors.Is(err, jwt.ErrTokenUnverifiable) {
		t.Errorf("Validate after the old key's end: %v", err)
	}
}

func TestConfigurationOfV1NamesTheIssuerOfV1(t *testing.T) {
	t.Parallel()
	a := start(t)
	var config struct {
		Issuer  string
		KeysURI string `json:"jwks_uri"`
	}
	getJSON(t, a, "/"+tenant+"/.well-known/openid-configuration", &config)
	if config.Issuer != "https://sts.windows.net/"+tenant+"/" {
		t.Errorf("issuer %q", config.Issuer)
	}
	if keys := fetchKeys(t, a, strings.TrimPrefix(config.KeysURI, a.URL())); len(keys) != 1 {
		t.Errorf("%d keys at %s, want 1", len(keys), config.KeysURI)
	}
}

func TestKeyOfOneTenantIsPublishedAndUsedByThatTenantAlone(t *testing.T) {
	t.Parallel()
	a := start(t, func(o *entratest.Options) { o.Tenants = append(o.Tenants, unpaid) })
	shared := a.KeyID(tenant)
	if err := a.RotateTenantKey(unpaid); err != nil {
		t.Fatal(err)
	}
	own := a.KeyID(unpaid)
	if own == shared || a.KeyID("") != shared {
		t.Errorf("keys %s and %s, want one of its own for the second tenant", shared, own)
	}
	for _, retired := range []bool{false, true} {
		if retired {
			a.RetireKeys()
		}
		theirs, others := fetchKeys(t, a, "/"+unpaid+"/discovery/v2.0/keys"), fetchKeys(t, a, "/"+tenant+"/discovery/v2.0/keys")
		if theirs[own] == nil || others[own] != nil || others[shared] == nil || theirs[shared] == nil {
			t.Errorf("retired %v: published are %d and %d keys", retired, len(theirs), len(others))
		}
	}
	token, err := a.Issue(entratest.Grant{Tenant: unpaid, Client: app, Audience: apiV2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Validate(token, apiV2); err != nil {
		t.Errorf("a token of that tenant: %v", err)
	}
	token, err = a.Issue(entratest.Grant{Tenant: unpaid, Client: app, Audience: apiV2, Claims: map[string]any{"tid": tenant}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Validate(token, apiV2); !errors.Is(err, jwt.ErrTokenUnverifiable) {
		t.Errorf("its key for another tenant: %v", err)
	}
	if a.RotateTenantKey(app) == nil {
		t.Error("a tenant that is not there has a key")
	}
}

func TestTokenIsSignedWhateverItSays(t *testing.T) {
	t.Parallel()
	a := start(t)
	key := fetchKeys(t, a, "/"+tenant+"/discovery/v2.0/keys")[a.KeyID("")]
	raw, err := a.Sign("", `{"alg":"RS256","alg":"none"}`, "{\"aud\":")
	if err != nil {
		t.Fatal(err)
	}
	granted, err := a.Issue(entratest.Grant{
		Client: app, Audience: apiV2,
		Header: map[string]any{"alg": "HS256", "kid": nil, "jku": "https://keys.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for token, header := range map[string]string{
		raw:     `{"alg":"RS256","alg":"none"}`,
		granted: `{"alg":"HS256","jku":"https://keys.example","typ":"JWT","x5t":"` + a.KeyID("") + `"}`,
	} {
		end := strings.LastIndex(token, ".")
		signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
		if err != nil {
			t.Fatal(err)
		}
		if err := jwt.SigningMethodRS256.Verify(token[:end], signature, key); err != nil {
			t.Errorf("%s: %v", header, err)
		}
		got, _, _ := strings.Cut(token, ".")
		if decoded, err := base64.RawURLEncoding.DecodeString(got); err != nil || string(decoded) != header {
			t.Errorf("header %s, want %s", decoded, header)
		}
	}
}
