package verify

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// hostile are tokens that must not be accepted, with the reason. Unless it is the
// signature that is wrong, that is right.
func hostile() map[string][]struct{ name, token string } {
	s, now := first(), time.Now()
	header, claims := s.header().json(), usual().json()
	type list = []struct{ name, token string }
	headed := func(more fields) string { return s.sign(s.header().with(more).json(), claims) }
	raw := func(claims string) string {
		return s.sign(header, strings.Replace(usual().json(), "{", "{"+claims+",", 1))
	}
	without := func(name, claims string) string {
		return s.sign(header, strings.Replace(usual().with(fields{name: nil}).json(), "{", "{"+claims+",", 1))
	}
	valid := s.token(nil)
	parts := strings.Split(valid, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(s.header().with(fields{"alg": "none"}).json()))
	return map[string]list{
		Malformed: {
			{"nothing", ""},
			{"no JWT", "opaque"},
			{"two parts", parts[0] + "." + parts[1]},
			{"four parts", valid + ".x"},
			{"five parts, encrypted", valid + ".x.y"},
			{"many dots", strings.Repeat(".", maxToken)},
			{"JSON serialization", `{"payload":"` + parts[1] + `"}`},
			{"line end in the signature", valid[:len(valid)-4] + "\n" + valid[len(valid)-4:]},
			{"blank before", " " + valid},
			{"padding", parts[0] + "=." + parts[1] + "." + parts[2]},
			{"header that is a list", s.sign("[]", claims)},
			{"header with something behind", s.sign(header+"{}", claims)},
			{"algorithm twice", s.sign(`{"alg":"none",`+header[1:], claims)},
			{"key twice, once escaped", s.sign(`{"k\u0069d":"x",`+header[1:], claims)},
			{"nested", s.sign(s.header().with(fields{"cty": "JWT"}).json(), valid)},
			{"content type", headed(fields{"cty": "json"})},
			{"critical extension", headed(fields{"crit": []string{"exp"}})},
			{"payload that is not encoded", headed(fields{"b64": false})},
			{"compressed", headed(fields{"zip": "DEF"})},
			{"bound to a proof", headed(fields{"typ": "pop"})},
			{"type that is no string", headed(fields{"typ": 1})},
			{"claims that are a token", s.sign(header, valid)},
			{"claims that are a list", s.sign(header, "["+claims+"]")},
			{"claims cut short", s.sign(header, claims[:len(claims)-1])},
			{"audience twice", raw(`"aud":"` + other + `"`)},
			{"any claim twice", raw(`"x":1,"x":1`)},
			{"names that are no UTF-8", raw("\"\xff\":1")},
		},
		TooLarge: {
			{"oversized", s.token(fields{"x": strings.Repeat("x", maxToken)})},
			{"oversized nothing", strings.Repeat(".", maxToken+1)},
		},
		Algorithm: {
			{"none, unsigned", none + "." + parts[1] + "."},
			{"none, signed", none + "." + parts[1] + "." + parts[2]},
			{"None", headed(fields{"alg": "None"})},
			{"NONE", headed(fields{"alg": "NONE"})},
			{"nOnE", headed(fields{"alg": "nOnE"})},
			{"empty", headed(fields{"alg": ""})},
			{"missing", headed(fields{"alg": nil})},
			{"null", s.sign(strings.Replace(header, `"RS256"`, "null", 1), claims)},
			{"only folded", s.sign(strings.Replace(header, `"alg"`, `"ALG"`, 1), claims)},
			{"folded beside", headed(fields{"alg": nil, "Alg": "RS256"})},
			{"list", headed(fields{"alg": []string{"RS256"}})},
			{"RS384", signer{s.kid, s.private, jwt.SigningMethodRS384}.token(nil)},
			{"PS256", signer{s.kid, s.private, jwt.SigningMethodPS256}.token(nil)},
			{"HS256 with the public key", symmetric(s)},
			{"ES256", headed(fields{"alg": "ES256"})},
		},
		Key: {
			{"none named", headed(fields{"kid": nil})},
			{"empty", headed(fields{"kid": ""})},
			{"number", headed(fields{"kid": 1})},
			{"null", s.sign(strings.Replace(header, `"first"`, "null", 1), claims)},
			{"long", headed(fields{"kid": strings.Repeat("x", maxKeyID+1)})},
			{"unknown", headed(fields{"kid": "unknown"})},
			{"folded", headed(fields{"kid": "FIRST"})},
			{"only x5t", headed(fields{"kid": nil, "x5t": s.kid})},
			{"another tenant's", second().token(nil)},
		},
		Signature: {
			{"missing", parts[0] + "." + parts[1] + "."},
			{"cut short", valid[:len(valid)-4]},
			{"spelt otherwise", valid[:len(valid)-1] + string(valid[len(valid)-1]+1)}, // in bits that do not count
			{"another key's", signer{s.kid, second().private, s.method}.token(nil)},
			{"of other claims", parts[0] + "." + strings.Split(s.token(fields{"oid": app}), ".")[1] + "." + parts[2]},
			{"another key's, which the header brings", signer{s.kid, second().private, s.method}.sign(
				s.header().with(fields{"jwk": second().jwk(), "jku": "https://keys.example/", "x5u": "https://keys.example/", "x5c": []string{"AA"}}).json(), claims)},
		},
		Tenant: {
			{"missing", s.token(fields{"tid": nil})},
			{"not listed", s.token(fields{"tid": other})},
			{"not listed, with its issuer", s.token(fields{"tid": other, "iss": "https://login.microsoftonline.com/" + other + "/v2.0"})},
			{"list", s.token(fields{"tid": []string{home}})},
			{"null", without("tid", `"tid":null`)},
			{"only folded", without("tid", `"TID":"`+home+`"`)},
			{"name", s.token(fields{"tid": "contoso.onmicrosoft.com"})},
		},
		Issuer: {
			{"missing", s.token(fields{"iss": nil})},
			{"another listed tenant's", s.token(fields{"iss": "https://login.microsoftonline.com/" + branch + "/v2.0"})},
			{"v1 of v2", s.token(fields{"iss": "https://sts.windows.net/" + home + "/"})},
			{"v2 of v1", s.token(fields{"ver": "1.0", "azp": nil, "appid": app})},
			{"v1 without the slash", s.token(fields{"ver": "1.0", "iss": "https://sts.windows.net/" + home, "azp": nil, "appid": app})},
			{"with a slash", s.token(fields{"iss": "https://login.microsoftonline.com/" + home + "/v2.0/"})},
			{"common", s.token(fields{"iss": "https://login.microsoftonline.com/common/v2.0"})},
			{"template", s.token(fields{"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"})},
			{"another cloud's", s.token(fields{"iss": "https://login.microsoftonline.us/" + home + "/v2.0"})},
			{"another scheme", s.token(fields{"iss": "http://login.microsoftonline.com/" + home + "/v2.0"})},
			{"upper case", s.token(fields{"iss": "https://login.microsoftonline.com/" + strings.ToUpper(home) + "/v2.0"})},
			{"stranger", s.token(fields{"iss": "https://issuer.example/" + home + "/v2.0"})},
			{"list", s.token(fields{"iss": []string{"https://login.microsoftonline.com/" + home + "/v2.0"}})},
		},
		Audience: {
			{"missing", s.token(fields{"aud": nil})},
			{"another", s.token(fields{"aud": app})},
			{"empty", s.token(fields{"aud": ""})},
			{"none in the list", s.token(fields{"aud": []string{}})},
			{"ours beside another in the list", s.token(fields{"aud": []string{other, uri}})},
			{"both of ours in the list", s.token(fields{"aud": []string{api, uri}})},
			{"others in the list", s.token(fields{"aud": []string{app, other}})},
			{"something else in the list", s.token(fields{"aud": []any{api, 5}})},
			{"object", s.token(fields{"aud": fields{api: api}})},
			{"upper case", s.token(fields{"aud": strings.ToUpper(api)})},
			{"only folded", without("aud", `"AUD":"`+api+`"`)},
			{"longer", s.token(fields{"aud": uri + "/"})},
			{"blank behind", s.token(fields{"aud": api + " "})},
			{"Graph", s.token(fields{"aud": "00000003-0000-0000-c000-000000000000"})},
		},
		Expired: {
			{"leeway over", s.token(fields{"exp": now.Add(-leeway).Unix()})},
			{"long ago", s.token(fields{"exp": 1})},
			{"at the beginning", s.token(fields{"exp": 0})},
			{"fraction", without("exp", `"exp":1.5e1`)},
		},
		NotYetValid: {
			{"later", s.token(fields{"nbf": now.Add(2 * leeway).Unix()})},
			{"issued later", s.token(fields{"iat": now.Add(2 * leeway).Unix(), "nbf": nil})},
			{"far", s.token(fields{"nbf": int64(lastSecond), "exp": int64(lastSecond)})},
		},
		Client: {
			{"not listed", s.token(fields{"azp": other})},
		},
		Claims: {
			{"no exp", s.token(fields{"exp": nil})},
			{"exp null", without("exp", `"exp":null`)},
			{"exp only folded", without("exp", `"Exp":`+time.Now().Add(time.Hour).Format("20060102150405"))},
			{"exp string", s.token(fields{"exp": "9999999999"})},
			{"exp negative", s.token(fields{"exp": -1})},
			{"exp that wraps around", without("exp", `"exp":1e19`)},
			{"exp too large for a float", without("exp", `"exp":1e400`)},
			{"exp true", s.token(fields{"exp": true})},
			{"exp list", s.token(fields{"exp": []int{9999999999}})},
			{"nbf that wraps around", without("nbf", `"nbf":1e19`)},
			{"nbf string", s.token(fields{"nbf": "0"})},
			{"nbf null", without("nbf", `"nbf":null`)},
			{"iat that wraps around", without("iat", `"iat":9223372036854775807`)},
			{"iat object", s.token(fields{"iat": fields{}})},
			{"no version", s.token(fields{"ver": nil})},
			{"version 3", s.token(fields{"ver": "3.0"})},
			{"version number", s.token(fields{"ver": 2})},
			{"no oid", s.token(fields{"oid": nil})},
			{"oid of another form", s.token(fields{"oid": "ada"})},
			{"oid almost", s.token(fields{"oid": strings.Replace(ada, "f", "g", 1)})},
			{"oid without its dashes", s.token(fields{"oid": strings.ReplaceAll(ada, "-", "0")})},
			{"ID token", s.token(fields{"azp": nil, "scp": nil, "roles": []string{"Admin"}})},
			{"appid in v2", s.token(fields{"azp": nil, "appid": app})},
			{"azp in v1", s.token(fields{"ver": "1.0", "iss": "https://sts.windows.net/" + home + "/"})},
			{"azp list", s.token(fields{"azp": []string{app}})},
			{"scp list", s.token(fields{"scp": []string{"read"}})},
			{"scp null", without("scp", `"scp":null`)},
			{"roles string", s.token(fields{"roles": "Admin"})},
			{"roles of numbers", s.token(fields{"roles": []any{"Admin", 1}})},
			{"roles null", without("roles", `"roles":null`)},
			{"bound to a key", s.token(fields{"cnf": fields{"kid": "x", "xms_ksl": "sw"}})},
			{"bound to a certificate", s.token(fields{"cnf": fields{"x5t#S256": "x"}})},
			{"bound to nothing that can be read", without("scp", `"cnf":null,"scp":"read"`)},
		},
	}
}

// symmetric returns a token that is signed by HS256 with what everybody knows of
// s, which a verifier that does not look at the kind of key accepts.
func symmetric(s signer) string {
	der, err := x509.MarshalPKIXPublicKey(s.private.Public())
	if err != nil {
		panic(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(usual()))
	token.Header["kid"] = s.kid
	signed, err := token.SignedString(der)
	if err != nil {
		panic(err)
	}
	return signed
}

func TestHostileTokensAreRefusedWithTheirReason(t *testing.T) {
	t.Parallel()
	c := newCloud()
	c.publish(branch, first(), second())
	o := c.options()
	o.Clients = []string{strings.ToUpper(app)}
	inBubble(t, c, o, func(t *testing.T, v *Verifier) {
		all := hostile()
		for _, reason := range Reasons() {
			if len(all[reason]) == 0 {
				t.Errorf("no token is refused as %s", reason)
			}
			for _, tt := range all[reason] {
				said := refused(t, v, reason+", "+tt.name, tt.token, reason)
				for _, secret := range []string{app, other, ada, "keys.example", "Admin"} {
					if strings.Contains(said, secret) {
						t.Errorf("%s: %q tells what the token says", tt.name, said)
					}
				}
			}
		}
		if n := v.valid.byAge.Len(); n != 0 {
			t.Errorf("%d of them are remembered as valid", n)
		}
		accepted(t, v, "what they are made of", first().token(nil))
	})
	if hosts := c.hosts(); len(hosts) != 1 {
		t.Errorf("keys were asked for at %v", hosts)
	}
}

func TestTokenThatNamesNoKeyCausesNoFetch(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		for _, kid := range []any{nil, "", 1, strings.Repeat("x", maxKeyID+1)} {
			refused(t, v, fmt.Sprint(kid), first().sign(first().header().with(fields{"kid": kid}).json(), usual().json()), Key)
		}
		if n := c.fetches(home); n != 1 {
			t.Errorf("%d fetches, want that of the start", n)
		}
	})
}

func TestDescriptionTellsWhichAudienceIsNeeded(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		said := refused(t, v, "audience", first().token(fields{"aud": app}), Audience)
		if want := "the token is for another audience; it has to be " + api + " or " + uri; said != want {
			t.Errorf("%q, want %q", said, want)
		}
	})
}

func TestTokenThatIsBoundToAKeyIsRefusedInItsOwnWords(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		if said := refused(t, v, "cnf", first().token(fields{"cnf": fields{"kid": "x"}}), Claims); !strings.Contains(said, "proof of possession") {
			t.Errorf("%q does not say why", said)
		}
		accepted(t, v, "only folded", first().token(fields{"CNF": fields{"kid": "x"}}))
	})
}

func TestTokenIsHeldToTheAlgorithmOfItsKey(t *testing.T) {
	t.Parallel()
	c := newCloud()
	c.publish(home, first(), curve())
	o := c.options()
	o.Algorithms = []string{"RS256", "ES256"}
	inBubble(t, c, o, func(t *testing.T, v *Verifier) {
		accepted(t, v, "RSA", first().token(nil))
		accepted(t, v, "EC", curve().token(nil))
		refused(t, v, "ES256 by the RSA key", first().sign(first().header().with(fields{"alg": "ES256"}).json(), usual().json()), Algorithm)
		refused(t, v, "RS256 by the EC key", curve().sign(curve().header().with(fields{"alg": "RS256"}).json(), usual().json()), Algorithm)
		refused(t, v, "EC key's name", signer{"curve", first().private, first().method}.token(nil), Algorithm)
		zero := strings.TrimRight(curve().token(nil), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")
		refused(t, v, "signature of nought", zero+base64.RawURLEncoding.EncodeToString(make([]byte, 64)), Signature)
	})
}
