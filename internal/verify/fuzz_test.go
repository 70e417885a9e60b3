package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// still returns a Verifier with keys that nobody fetches, where nobody waits.
func still(t testing.TB, keys map[string]*publicKey) *Verifier {
	o := newCloud().options()
	o.Algorithms = []string{"RS256", "ES256"}
	v := mustNew(t, o)
	for _, r := range v.rings {
		r.set.Store(&keySet{keys: keys, fetched: time.Now()})
		close(r.over)
	}
	return v
}

// FuzzVerify holds that no token makes Verify panic, that what is refused is
// refused in words that can be shown, and that what is accepted is ours by
// another reading: that of the library into a map.
func FuzzVerify(f *testing.F) {
	header, claims := curve().header().json(), usual().with(fields{"exp": 4102444800}).json()
	f.Add(true, header, claims)
	f.Add(true, header, strings.Replace(claims, `"aud"`, `"AUD"`, 1))
	f.Add(true, header, strings.Replace(claims, "{", `{"tid":"x",`, 1))
	f.Add(true, strings.Replace(header, "ES256", "none", 1), claims)
	f.Add(true, strings.Replace(header, "{", `{"crit":["exp"],`, 1), claims)
	f.Add(false, first().sign(first().header().json(), claims), "")
	f.Add(false, "..", "")
	v := still(f, map[string]*publicKey{"curve": {alg: "ES256", public: curve().private.Public().(*ecdsa.PublicKey)}})
	f.Fuzz(func(t *testing.T, signed bool, header, claims string) {
		token := header
		if signed {
			token = curve().sign(header, claims)
		}
		caller, err := v.Verify(t.Context(), token)
		var bad *Invalid
		switch {
		case errors.As(err, &bad):
			if caller != nil || !slices.Contains(Reasons(), bad.Reason) || !plain(strings.ReplaceAll(bad.Description, " ", "")) {
				t.Errorf("%v, %s: %q", caller, bad.Reason, bad.Description)
			}
			return
		case err != nil:
			if caller != nil || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v, %v", caller, err)
			}
			return
		}
		var got jwt.MapClaims
		_, err = jwt.ParseWithClaims(token, &got, func(*jwt.Token) (any, error) { return curve().private.Public(), nil },
			jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))
		audiences, _ := got.GetAudience()
		tenant, _ := got["tid"].(string)
		if err != nil || !slices.Contains(audiences, api) && !slices.Contains(audiences, uri) ||
			!strings.EqualFold(tenant, caller.Tenant) || tenant == "" || v.rings[caller.Tenant] == nil {
			t.Errorf("accepted: %v, %v", got, err)
		}
	})
}

// FuzzKeys holds that no document makes readKeys panic, and that the keys which
// it takes from one are strong enough.
func FuzzKeys(f *testing.F) {
	f.Add(fields{"keys": []fields{first().jwk(), curve().jwk()}}.json())
	f.Add(`{"keys":[{"kty":"oct","kid":"a","k":"AQAB"},{"kty":"RSA","kid":"b","n":"AQAB","e":"AQAB"}]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"}],"keys":[]}`)
	f.Fuzz(func(t *testing.T, document string) {
		keys, err := readKeys([]byte(document), func(issuer string) bool { return issuer == "" })
		if (len(keys) == 0) != (err != nil) || len(keys) > maxKeys {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for kid, key := range keys {
			switch public := key.public.(type) {
			case *rsa.PublicKey:
				if key.alg != "RS256" || public.N.BitLen() < 2048 || public.E < 3 {
					t.Errorf("%s: %s of %d bits, exponent %d", kid, key.alg, public.N.BitLen(), public.E)
				}
			case *ecdsa.PublicKey:
				if key.alg != "ES256" || public.Curve != elliptic.P256() {
					t.Errorf("%s: %s on %v", kid, key.alg, public.Curve)
				}
			default:
				t.Errorf("%s: %T", kid, public)
			}
		}
	})
}
