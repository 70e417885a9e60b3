package source

import (
	"strings"
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

func TestHintsNameWhatToMend(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		50076: "{login}", 65001: azureCLI, 65002: azureCLI, 65004: "{login}", 53003: "administrator", 90033: tryLater, 99999999: "code=99999999",
		500011: "resource =", 500014: "service principal", 50105: "assign", 50020: checkTenant, 90002: checkTenant, 70011: "client_id",
		700016: "AZURE_CLIENT_ID", 7000215: "secret's value", 7000222: "new one", 700027: "AZURE_CLIENT_CERTIFICATE_PATH",
		700213: "federated credential", 700024: "clock",
	} {
		if hint := explain(code).hint; !strings.Contains(hint, want) {
			t.Errorf("AADSTS%d: %q does not say %q", code, hint, want)
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
