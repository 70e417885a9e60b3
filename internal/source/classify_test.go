package source

import (
	"fmt"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

func classes() map[token.Class][]int {
	return map[token.Class][]int{
		token.SignIn: {16000, 50058, 50072, 50074, 50076, 50078, 50079, 50132, 50133, 50158, 50173,
			70008, 70043, 700082, 700084, 70019, 70020},
		token.Consent:  {65001, 90094},
		token.Declined: {65004},
		token.Policy:   {53000, 53001, 53002, 53003, 53004},
		token.Misconfigured: {500011, 500014, 50105, 50020, 50034, 65002, 70011, 700016, 7000215, 7000222, 90002, 900023,
			700027, 70021, 700211, 700212, 700213, 700024, 1002012},
		token.Transient: {90033, 90055, 50196},
		token.Unknown:   {0, 1, 50000, 50126, 99999999},
	}
}

func TestCodesHaveTheirClass(t *testing.T) {
	t.Parallel()
	for class, codes := range classes() {
		for _, code := range codes {
			r := explain(code)
			if r.class != class || r.message == "" || r.hint == "" {
				t.Errorf("AADSTS%d: %+v, want class %q", code, r, class)
			}
		}
	}
	// What the simulated authority can say is what is known here.
	for _, code := range entratest.Codes() {
		if explain(code).class == token.Unknown {
			t.Logf("AADSTS%d is unknown", code)
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
		if got := codeOf([]byte(body)); got != want {
			t.Errorf("%s: got %d, want %d", body, got, want)
		}
	}
}

func TestSignsWithoutACode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]token.Class{
		"(pii) Status_InteractionRequired":                 token.SignIn,
		"User canceled: Status_UserCanceled":               token.Declined,
		"SSLError(CERTIFICATE_VERIFY_FAILED) ... az login": token.Misconfigured,
	} {
		if r, ok := sign(text); !ok || r.class != want {
			t.Errorf("%s: got %+v", text, r)
		}
	}
	if r, ok := sign("Please run 'az login' to setup account."); ok {
		t.Errorf("az's usual words were taken for a sign: %+v", r)
	}
}

func FuzzErrorBody(f *testing.F) {
	for class, codes := range classes() {
		f.Add(fmt.Appendf(nil, `{"error":%q,"error_codes":[%d],"error_description":"AADSTS%d"}`, class, codes[0], codes[0]))
	}
	f.Add([]byte(`{"error_codes":[1e400,-5],"error_description":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := explain(codeOf(body))
		if r.message == "" || r.hint == "" {
			t.Errorf("%q: %+v", body, r)
		}
	})
}
