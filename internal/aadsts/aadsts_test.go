package aadsts

import (
	"fmt"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// classes have a code or two of each class.
func classes() map[token.Class][]int {
	return map[token.Class][]int{
		token.SignIn:        {50173, 50076, 70019},
		token.Consent:       {65001, 90094},
		token.Declined:      {65004},
		token.Policy:        {53003},
		token.Misconfigured: {500011, 7000215, 90002},
		token.Transient:     {90033},
		token.Unknown:       {0, 1, 50000, 50126, 99999999},
	}
}

func TestCodesHaveTheirClass(t *testing.T) {
	t.Parallel()
	for class, codes := range classes() {
		for _, code := range codes {
			m := Explain(code)
			if m.Class != class || (m.Text == "") != (class == token.Unknown) {
				t.Errorf("%s: %+v, want class %q", Name(code), m, class)
			}
		}
	}
}

func TestCodeIsReadFromTheFieldBeforeTheText(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{"error_codes":[50076],"error_description":"AADSTS53003: x"}`:   50076,
		`{"error_codes":[1,50079],"error_description":"AADSTS53003: x"}`: 50079,
		`{"error_codes":[1],"error_description":"AADSTS53003: x"}`:       53003,
		`{"error_codes":[1]}`: 1,
		`{"error_codes":[]}`:  0,
		`{"error_codes":"50076","error_description":"AADSTS53003: x"}`: 53003,
		`{"error_description":"a\nAADSTS65001: AADSTS50076"}`:          65001,
		`<html>AADSTS90002</html>`:                                     90002,
		`AADSTS: AADSTS1 AADSTS123456789012`:                           12345678,
		`Please run az login`:                                          0,
		``:                                                             0,
	} {
		if got := Of([]byte(body)); got != want {
			t.Errorf("%s: got %d, want %d", body, got, want)
		}
	}
}

func FuzzErrorBody(f *testing.F) {
	for class, codes := range classes() {
		f.Add(fmt.Appendf(nil, `{"error":%q,"error_codes":[%d],"error_description":"AADSTS%d"}`, class, codes[0], codes[0]))
	}
	f.Add([]byte(`{"error_codes":[1e400,-5],"error_description":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code := Of(body)
		if m := Explain(code); (m.Text == "") != (m.Class == token.Unknown) {
			t.Errorf("%q: %+v", body, m)
		}
	})
}
