package verify

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// No document can make a secret of what everybody can read.
func TestOnlyPublicKeysOfTheTenantsOwnAreUsed(t *testing.T) {
	t.Parallel()
	secret := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	weak := rsaSigner("bad", 1024)()
	one := base64.RawURLEncoding.EncodeToString(big.NewInt(1).Bytes())
	bad := signer{"bad", second().private, second().method}
	for name, tt := range map[string]struct {
		key  fields
		sign signer
	}{
		"symmetric":             {fields{"kty": "oct", "kid": "bad", "k": secret, "alg": "RS256"}, bad},
		"secret part":           {bad.jwk().with(fields{"d": secret}), bad},
		"weak":                  {weak.jwk(), weak},
		"exponent of 1":         {bad.jwk().with(fields{"e": one}), bad},
		"exponent that is even": {bad.jwk().with(fields{"e": base64.RawURLEncoding.EncodeToString([]byte{4})}), bad},
		"large exponent":        {bad.jwk().with(fields{"e": base64.RawURLEncoding.EncodeToString([]byte{1, 0, 0, 0, 1})}), bad},
		"even modulus":          {bad.jwk().with(fields{"n": strings.Repeat("A", 100) + "_" + strings.Repeat("A", 399)}), bad},
		"no modulus":            {bad.jwk().with(fields{"n": nil}), bad},
		"modulus not encoded":   {bad.jwk().with(fields{"n": "="}), bad},
		"huge modulus":          {bad.jwk().with(fields{"n": strings.Repeat("_", 2000)}), bad},
		"for encryption":        {bad.jwk().with(fields{"use": "enc"}), bad},
		"for another algorithm": {bad.jwk().with(fields{"alg": "RS512"}), bad},
		"to sign with":          {bad.jwk().with(fields{"key_ops": []string{"sign"}}), bad},
		"use of another type":   {bad.jwk().with(fields{"use": []string{"sig"}}), bad},
		"another issuer's":      {bad.jwk().with(fields{"issuer": "https://login.microsoftonline.com/" + other + "/v2.0"}), bad},
		"another tenant's":      {bad.jwk().with(fields{"issuer": "https://login.microsoftonline.com/" + branch + "/v2.0"}), bad},
		"issuer of a type":      {bad.jwk().with(fields{"issuer": 1}), bad},
		"no id":                 {bad.jwk().with(fields{"kid": nil}), bad},
		"kind of key unknown":   {bad.jwk().with(fields{"kty": "OKP"}), bad},
		"EC key in RSA":         {bad.jwk().with(fields{"kty": "EC"}), bad},
		"point off the curve":   {curve().jwk().with(fields{"kid": "bad", "x": secret, "y": secret}), bad},
		"another curve":         {curve().jwk().with(fields{"kid": "bad", "crv": "P-384"}), signer{"bad", curve().private, curve().method}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud()
			c.publishJSON(home, fields{"keys": []fields{tt.key, first().jwk()}}.json())
			o := c.options()
			o.Algorithms = []string{"RS256", "ES256"}
			inBubble(t, c, o, func(t *testing.T, v *Verifier) {
				refused(t, v, "its token", tt.sign.token(nil), Key)
				accepted(t, v, "the other key's", first().token(nil))
			})
		})
	}
}

func TestKeyIDIsOneKeys(t *testing.T) {
	t.Parallel()
	impostor := signer{first().kid, second().private, second().method}
	theirs := impostor.jwk().with(fields{"issuer": "https://login.microsoftonline.com/" + other + "/v2.0"})
	template := first().jwk().with(fields{"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"})
	for name, tt := range map[string]struct {
		keys []fields
		good bool
	}{
		"two keys":               {[]fields{first().jwk(), impostor.jwk()}, false},
		"two keys, one twice":    {[]fields{first().jwk(), impostor.jwk(), first().jwk()}, false},
		"one key twice":          {[]fields{first().jwk(), first().jwk()}, true},
		"another issuer's too":   {[]fields{theirs, template, theirs}, true},
		"its secret part beside": {[]fields{first().jwk(), first().jwk().with(fields{"d": "AQ"})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud()
			c.publishJSON(home, fields{"keys": append(tt.keys, curve().jwk())}.json())
			inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
				refused(t, v, "impostor", impostor.token(fields{"oid": app}), map[bool]string{true: Signature, false: Key}[tt.good])
				if tt.good {
					accepted(t, v, "its own", first().token(nil))
				} else {
					refused(t, v, "its own", first().token(nil), Key)
				}
			})
		})
	}
}

func TestDocumentThatIsNoKeySetChangesNothing(t *testing.T) {
	t.Parallel()
	many := make([]fields, maxKeys+1)
	for i := range many {
		many[i] = second().jwk()
	}
	set := func(f fields) string { return f.json() }
	keys, err := json.Marshal([]fields{second().jwk()})
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"down":    down,
		"hanging": hang,
		"error": func(*http.Request) (*http.Response, error) {
			return reply(500, set(fields{"keys": []fields{second().jwk()}})), nil
		},
		"redirect":         func(*http.Request) (*http.Response, error) { return moved(), nil },
		"no content":       func(*http.Request) (*http.Response, error) { return reply(200, ""), nil },
		"garbage":          func(*http.Request) (*http.Response, error) { return reply(200, "<html>"), nil },
		"null":             func(*http.Request) (*http.Response, error) { return reply(200, "null"), nil },
		"no keys":          func(*http.Request) (*http.Response, error) { return reply(200, `{"keys":[]}`), nil },
		"keys null":        func(*http.Request) (*http.Response, error) { return reply(200, `{"keys":null}`), nil },
		"keys only folded": func(*http.Request) (*http.Response, error) { return reply(200, `{"Keys":`+string(keys)+`}`), nil },
		"keys twice": func(*http.Request) (*http.Response, error) {
			return reply(200, `{"keys":[],"keys":`+string(keys)+`}`), nil
		},
		"keys of numbers":  func(*http.Request) (*http.Response, error) { return reply(200, `{"keys":[1,"x",null]}`), nil },
		"too many keys":    func(*http.Request) (*http.Response, error) { return reply(200, set(fields{"keys": many})), nil },
		"something behind": func(*http.Request) (*http.Response, error) { return reply(200, `{"keys":`+string(keys)+`}{}`), nil },
		"oversized": func(*http.Request) (*http.Response, error) {
			return reply(200, `{"keys":`+string(keys)+`,"x":"`+strings.Repeat("x", maxDocument)+`"}`), nil
		},
		"only unusable": func(*http.Request) (*http.Response, error) {
			return reply(200, `{"keys":[{"kty":"oct","kid":"second","k":"AQ"}]}`), nil
		},
		"endless": func(*http.Request) (*http.Response, error) { r := reply(200, ""); r.Body = endless{}; return r, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud()
			inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
				c.answers(answer)
				unavailable(t, v, "new key", second().token(nil))
				accepted(t, v, "known key", first().token(nil))
				if k := v.Keys()[0]; k.Held != 1 || k.Problem == "" && name != "hanging" {
					t.Errorf("%+v", k)
				}
				c.answers(nil)
				c.publish(home, second())
				time.Sleep(fetchLimit)
				accepted(t, v, "new key, published", second().token(nil))
				refused(t, v, "old key, withdrawn", first().token(nil), Key)
				if k := v.Keys()[0]; k.Problem != "" {
					t.Errorf("%+v", k)
				}
			})
			if hosts := c.hosts(); len(hosts) != 1 {
				t.Errorf("keys were asked for at %v", hosts)
			}
		})
	}
}

// moved leads to keys elsewhere.
func moved() *http.Response {
	r := reply(http.StatusFound, "")
	r.Header.Set("Location", "https://keys.example/")
	return r
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
func (endless) Close() error { return nil }
