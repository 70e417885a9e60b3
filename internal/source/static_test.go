package source

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

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

func FuzzExpiry(f *testing.F) {
	for _, s := range []string{
		"", "opaque", "..", "a.b.c", jwt(`{"exp":4102444800}`), jwt(`{"exp":1e300}`), jwt(`{"exp":"1"}`),
		jwt(`{"exp":-1}`), jwt(`{"exp":0x10}`), jwt(`{"exp":{}}`), jwt(`{"EXP":1}`), jwt(strings.Repeat("[", 5000)),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := jwtExpiry(value)
		if got.IsZero() {
			return
		}
		if strings.Count(value, ".") != 2 {
			t.Errorf("%q is no JWT", value)
		}
		if y := got.UTC().Year(); y < 1970 || y > 9999 {
			t.Errorf("%q expires in the year %d", value, y)
		}
	})
}
