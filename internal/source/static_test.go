package source

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	jwt5 "github.com/golang-jwt/jwt/v5"

	"github.com/injectproxy/injectproxy/internal/token"
)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestExpiryIsReadFromJWTsAlone(t *testing.T) {
	t.Parallel()
	const exp = 4102444800 // 2100
	for name, c := range map[string]struct {
		value string
		want  int64 // 0: unknown
	}{
		"JWT":                {jwt(`{"aud":"x","exp":4102444800}`), exp},
		"fraction":           {jwt(`{"exp":4102444800.75}`), exp},
		"exponent":           {jwt(`{"exp":4.1024448e9}`), exp},
		"opaque":             {"opaque", 0},
		"two parts":          {"a." + encode(`{"exp":4102444800}`), 0},
		"four parts":         {jwt(`{"exp":4102444800}`) + ".x", 0},
		"padded":             {"a." + encode(`{"exp":4102444800}`) + "=.b", 0},
		"no object":          {jwt(`[4102444800]`), 0},
		"no exp":             {jwt(`{"nbf":4102444800}`), 0},
		"another case":       {jwt(`{"EXP":4102444800}`), 0},
		"text":               {jwt(`{"exp":"4102444800"}`), 0},
		"null":               {jwt(`{"exp":null}`), 0},
		"negative":           {jwt(`{"exp":-4102444800}`), 0},
		"zero":               {jwt(`{"exp":0}`), 0},
		"milliseconds":       {jwt(`{"exp":4102444800000}`), 0},
		"beyond all numbers": {jwt(`{"exp":1e400}`), 0},
		"too long":           {jwt(`{"exp":4102444800,"x":"` + strings.Repeat("x", maxToken) + `"}`), 0},
	} {
		got := jwtExpiry(c.value)
		if c.want == 0 && !got.IsZero() || c.want != 0 && got.Unix() != c.want {
			t.Errorf("%s: got %v, want %d", name, got, c.want)
		}
	}
}

func TestStaticTokensAreChecked(t *testing.T) {
	t.Parallel()
	past := jwt(fmt.Sprintf(`{"exp":%d,"x":%q}`, time.Now().Add(-time.Minute).Unix(), canary))
	for name, c := range map[string]struct {
		value string
		class token.Class
	}{
		"empty":          {"", token.Misconfigured},
		"newline":        {"\n", token.Misconfigured},
		"inner newline":  {canary + "\nX-Evil: 1", token.Misconfigured},
		"NUL":            {canary + "\x00", token.Misconfigured},
		"not ASCII":      {canary + "é", token.Misconfigured},
		"too long":       {strings.Repeat("x", maxToken) + canary, token.Misconfigured},
		"expired":        {past, token.Transient},
		"space in front": {" " + canary, token.Misconfigured},
	} {
		_, err := origin{"test", "it", "do something"}.token(c.value, time.Time{})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantError(t, err, c.class)
	}

	expiry := time.Now().Add(time.Hour).Truncate(time.Second)
	for name, c := range map[string]struct{ given, want time.Time }{
		"its own":  {time.Time{}, time.Unix(4102444800, 0)},
		"supplied": {expiry, expiry},
	} {
		value := jwt(`{"exp":4102444800}`)
		got, err := origin{"test", "it", ""}.token(value+"\r\n", c.given)
		if err != nil || got.Reveal() != value || !got.Expiry().Equal(c.want) || got.Source() != "test" {
			t.Errorf("%s expiry: got %v until %v, %v", name, got, got.Expiry(), err)
		}
	}
}

// FuzzExpiry reads the claims of a JWT twice, once by golang-jwt: what that
// takes for a time in four digits of years is the expiry, and nothing else is.
func FuzzExpiry(f *testing.F) {
	for _, s := range []string{
		"", "opaque", "..", "a.b.c", `{"exp":4102444800}`, `{"exp":1e300}`, `{"exp":"1"}`, `{"exp":4102444800.99}`,
		`{"exp":-1}`, `{"exp":0x10}`, `{"exp":{}}`, `{"EXP":1}`, `{"exp":null,"EXP":1}`, `{"exp":1,"exp":2}`, strings.Repeat("[", 5000),
	} {
		f.Add(s)
	}
	parser := jwt5.NewParser(jwt5.WithoutClaimsValidation(), jwt5.WithJSONNumber())
	f.Fuzz(func(t *testing.T, s string) {
		for _, value := range []string{s, jwt(s)} {
			got := jwtExpiry(value)
			if !got.IsZero() && (strings.Count(value, ".") != 2 || got.Unix() < 1 || got.Unix() > maxEpoch) {
				t.Errorf("%q expires at %v", value, got)
			}
		}
		claims := jwt5.MapClaims{}
		_, _, err := parser.ParseUnverified(jwt(s), claims)
		exp, problem := claims.GetExpirationTime()
		switch got := jwtExpiry(jwt(s)); {
		case err != nil || problem != nil || exp == nil || !json.Valid([]byte(s)): // it looks no further than the object's end
			if !got.IsZero() {
				t.Errorf("%q expires at %v, to golang-jwt it does not: %v, %v", s, got, err, problem)
			}
		case len(s) > maxToken/2: // too long, perhaps
		case exp.Unix() >= 1 && exp.Unix() <= maxEpoch != !got.IsZero(), !got.IsZero() && got.Unix() != exp.Unix():
			t.Errorf("%q expires at %d, to golang-jwt at %d", s, got.Unix(), exp.Unix())
		}
	})
}
