package retry

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClaimsAreReadInEverySpelling(t *testing.T) {
	t.Parallel()
	// Claims of all lengths modulo three, with the letters in which the two
	// alphabets differ.
	for _, claims := range []string{`{}`, `{"a":"~~~???"}`, `{"a":"~~~??>"} `, `{"a":{"b":[1,"ÿþ"]}}`} {
		for _, spelling := range Spellings(claims) {
			value := spelling.Value
			for _, values := range [][]string{{value}, {`Basic realm="x"`, value}, {"", value, `Bearer claims="e30"`}} {
				if got, _ := challenge(values); got != strings.TrimSpace(claims) {
					t.Errorf("%q: got %q, want %q", values, got, claims)
				}
			}
		}
	}
}

func TestWhatIsNoChallengeForClaimsGivesNone(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString
	for _, value := range []string{
		"", "Bearer", "Bearer claims", "Bearer claims=", `Bearer claims=""`, `Bearer claims="e30`, `Bearer claims="\`,
		`Bearer claims="%%%"`, `Bearer claims="e3"`, `Bearer xclaims="e30"`, `Bearer error_description="claims=e30"`,
		`Bearer claims="` + b64([]byte(`[1]`)) + `"`, `Bearer claims="` + b64([]byte(`"x"`)) + `"`,
		`Bearer claims="` + b64([]byte(`{"a":1}{"b":2}`)) + `"`, `Bearer claims="` + b64([]byte("{\"a\":\"\xff\"}")) + `"`,
		`Bearer claims="` + b64([]byte(`{"a":"`+strings.Repeat("x", mostClaims)+`"}`)) + `"`,
	} {
		if got, invalid := challenge([]string{value}); got != "" || invalid {
			t.Errorf("%.80q: got %q, %v", value, got, invalid)
		}
	}
}

func TestInvalidTokenIsReadInEverySpelling(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		`Bearer error="invalid_token"`:                           true,
		`Bearer error=invalid_token`:                             true,
		`Bearer realm="a", error="invalid_token"`:                true,
		`Negotiate YII==, Bearer ERROR = "invalid_token"`:        true,
		`Bearer error="invalid\_token"`:                          true,
		`Bearer error="invalid_token_x"`:                         false,
		`Bearer error_description="error=invalid_token"`:         false,
		`Bearer error_description="\", error=\"invalid_token\""`: false,
		`Bearer "error=invalid_token"`:                           false,
		`Bearer error="invalid_token`:                            false,
		`Bearer error`:                                           false,
		`invalid_token`:                                          false,
	} {
		if _, got := challenge([]string{value}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

// FuzzChallenge holds that no header breaks the parser or gets anything but a
// JSON object out of it, and that nothing inside quotes is taken for a parameter.
func FuzzChallenge(f *testing.F) {
	for _, spelling := range Spellings(`{"a":"~?"}`) {
		f.Add(spelling.Value)
	}
	for _, seed := range []string{`Bearer error="invalid_token"`, `a="\`, `,,= ="x`, "\x00\"\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		claims, _ := challenge([]string{value})
		if claims != "" && (!json.Valid([]byte(claims)) || claims[0] != '{' || !utf8.ValidString(claims) || len(claims) > mostClaims) {
			t.Errorf("claims %q", claims)
		}
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
		described := `Bearer error_description="` + escaped + `"`
		if claims, invalid := challenge([]string{described}); claims != "" || invalid {
			t.Errorf("%q is read inside quotes: %q, %v", described, claims, invalid)
		}
		claims, invalid := challenge([]string{described + `, error="invalid_token", claims="e30"`})
		if claims != "{}" || !invalid {
			t.Errorf("what follows %q is not read: %q, %v", described, claims, invalid)
		}
	})
}
