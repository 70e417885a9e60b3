package challenge

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/challenge/challengetest"
)

func TestClaimsAreReadInEverySpelling(t *testing.T) {
	t.Parallel()
	// Claims of all lengths modulo three, with the letters in which the two
	// alphabets differ.
	for _, claims := range []string{`{}`, `{"a":"~~~???"}`, `{"a":"~~~??>"} `, `{"a":{"b":[1,"ÿþ"]}}`} {
		for _, spelling := range challengetest.Spellings(claims) {
			value := spelling.Value
			for _, values := range [][]string{{value}, {`Basic realm="x"`, value}, {"", value, `Bearer claims="e30"`}} {
				if got, _ := Read(values); got != strings.TrimSpace(claims) {
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
		if got, invalid := Read([]string{value}); got != "" || invalid {
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
		if _, got := Read([]string{value}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

// FuzzChallenge holds that no header breaks the parser or gets anything but a
// JSON object out of it, that nothing inside quotes is taken for a parameter,
// and that what RFC 9110 has a reading of is read so.
func FuzzChallenge(f *testing.F) {
	for _, spelling := range challengetest.Spellings(`{"a":"~?"}`) {
		f.Add(spelling.Value)
	}
	for _, seed := range []string{`Bearer error="invalid_token"`, `a="\`, `,,= ="x`, "\x00\"\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		claims, invalid := Read([]string{value})
		if params, ok := parametersOf(value); ok {
			want, wantInvalid := "", false
			for _, p := range params {
				wantInvalid = wantInvalid || p[0] == "error" && p[1] == "invalid_token"
				if want == "" && p[0] == "claims" {
					want = claimsIn(p[1])
				}
			}
			if claims != want || invalid != wantInvalid {
				t.Errorf("%q: claims %q, %v; want %q, %v", value, claims, invalid, want, wantInvalid)
			}
		}
		if claims != "" && (!json.Valid([]byte(claims)) || claims[0] != '{' || !utf8.ValidString(claims) || len(claims) > mostClaims) {
			t.Errorf("claims %q", claims)
		}
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
		described := `Bearer error_description="` + escaped + `"`
		if claims, invalid := Read([]string{described}); claims != "" || invalid {
			t.Errorf("%q is read inside quotes: %q, %v", described, claims, invalid)
		}
		claims, invalid = Read([]string{described + `, error="invalid_token", claims="e30"`})
		if claims != "{}" || !invalid {
			t.Errorf("what follows %q is not read: %q, %v", described, claims, invalid)
		}
	})
}

// The grammar of RFC 9110, sections 5.6 and 11: a scheme, and behind it either
// a token68 or parameters.
const (
	tokenChars = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	quotedText = `"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"`
	authParam  = `(` + tokenChars + `)[ \t]*=[ \t]*(` + tokenChars + `|` + quotedText + `)`
)

var (
	commas     = regexp.MustCompile(`^[ \t]*(,[ \t]*)*`)
	separator  = regexp.MustCompile(`^[ \t]*(,[ \t]*)+`)
	oneParam   = regexp.MustCompile(`^` + authParam + `([ \t]*(?:,|$))`)
	oneScheme  = regexp.MustCompile(`^` + tokenChars + `( +|[ \t]*(?:,|$))`)
	oneToken68 = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*([ \t]*(?:,|$))`)
)

// parametersOf returns the parameters of all challenges in value, names in
// lower case, if it is a list of challenges by the grammar.
func parametersOf(value string) (params [][2]string, ok bool) {
	inScheme, fresh := false, false // fresh: right behind the scheme
	for value = value[len(commas.FindString(value)):]; value != ""; {
		if m := oneParam.FindStringSubmatch(value); m != nil && inScheme {
			text := m[2]
			if text[0] == '"' {
				text = regexp.MustCompile(`(?s)\\(.)`).ReplaceAllString(text[1:len(text)-1], "$1")
			}
			params = append(params, [2]string{strings.ToLower(m[1]), text})
			value, fresh = value[len(m[0])-len(m[3]):], false
		} else if m := oneToken68.FindStringSubmatch(value); m != nil && fresh {
			value, fresh, inScheme = value[len(m[0])-len(m[1]):], false, false
		} else if m := oneScheme.FindStringSubmatch(value); m != nil {
			inScheme, fresh = true, strings.HasPrefix(m[1], " ")
			value = strings.TrimLeft(value[len(m[0])-len(m[1]):], " ")
			if fresh && value != "" && value[0] != ',' {
				continue
			}
		} else {
			return nil, false
		}
		if value != "" {
			gap := separator.FindString(value)
			if gap == "" && strings.Trim(value, " \t") != "" {
				return nil, false
			}
			value, fresh = strings.TrimLeft(value[len(gap):], " \t"), false
		}
	}
	return params, true
}

// claimsIn returns the object that is encoded in s, in whichever alphabet.
func claimsIn(s string) string {
	s = strings.TrimRight(s, "=")
	var decoded []byte
	err := errors.New("neither alphabet")
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, e := alphabet.DecodeString(s); err != nil {
			decoded, err = b, e
		}
	}
	var object map[string]any
	if err != nil || len(decoded) > mostClaims || !utf8.Valid(decoded) || json.Unmarshal(decoded, &object) != nil || object == nil {
		return ""
	}
	return strings.TrimSpace(string(decoded))
}
