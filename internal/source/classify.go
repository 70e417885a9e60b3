package source

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/token"
)

// reason is what a failure means and what to do about it. In hint, {login}
// stands for the command that signs in to the audience.
type reason struct {
	class   token.Class
	message string
	hint    string
}

const (
	tryLater    = "try again in a minute"
	checkRoute  = "check the network, upstream_proxy and entra.authority_host"
	askAdmin    = "ask the tenant's administrator"
	checkTenant = "check tenant of the audience, AZURE_TENANT_ID and entra.authority_host"
	azureCLI    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // az's own application ID
)

// explain says what an AADSTS code means. The codes are those of
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes;
// one that is not listed is Unknown, which never opens a sign-in.
func explain(code int) reason {
	switch code {
	case 16000, 50058, 50132, 50133, 50173, 70008, 70043, 700082, 700084:
		return reason{token.SignIn, "the sign-in is missing or over", "{login}"}
	case 50072, 50074, 50076, 50078, 50079, 50158:
		return reason{token.SignIn, "a second factor or another step of the sign-in is due", "{login}"}

	case 65001, 90094:
		return reason{token.Consent, "consent to this API is missing",
			"{login}, or have the API's owner authorise client " + azureCLI}
	case 70019, 70020:
		return reason{token.SignIn, "the code was not used in time", "{login}"}
	case 65004:
		return reason{token.Declined, "consent was declined", "{login}"}

	case 53000, 53001, 53002, 53003, 53004:
		return reason{token.Policy, "a conditional access policy forbids it", askAdmin + " which policy blocks this device or place"}

	case 500011:
		return reason{token.Misconfigured, "the tenant does not know this API",
			`check the audience: an API with an App ID URI of its own needs resource = "…" in place of client_id`}
	case 500014:
		return reason{token.Misconfigured, "the API is disabled in this tenant", askAdmin + " to enable its service principal"}
	case 50105:
		return reason{token.Misconfigured, "the identity is not assigned to the API", askAdmin + " to assign it"}
	case 50020, 50034:
		return reason{token.Misconfigured, "the account does not belong to this tenant", checkTenant}
	case 65002:
		return reason{token.Misconfigured, "the API does not admit this client", "have the API's owner authorise client " + azureCLI}
	case 70011, 1002012:
		return reason{token.Misconfigured, "the scope is not valid", "check client_id, resource or scope of the audience"}
	case 700016:
		return reason{token.Misconfigured, "the tenant does not know this client", "check AZURE_CLIENT_ID and the tenant"}
	case 7000215:
		return reason{token.Misconfigured, "the client secret is wrong", "set AZURE_CLIENT_SECRET to the secret's value, not to its ID"}
	case 7000222:
		return reason{token.Misconfigured, "the client secret has expired", "make a new one and set AZURE_CLIENT_SECRET"}
	case 700027:
		return reason{token.Misconfigured, "the client's certificate is not registered", "upload the certificate in AZURE_CLIENT_CERTIFICATE_PATH to the application"}
	case 70021, 700211, 700212, 700213:
		return reason{token.Misconfigured, "no federated credential of the client matches", "check issuer, subject and audience of the application's federated credential"}
	case 700024:
		return reason{token.Misconfigured, "the client's assertion is not valid at this time", "check the clock, and that AZURE_FEDERATED_TOKEN_FILE is renewed"}
	case 90002, 900023:
		return reason{token.Misconfigured, "there is no such tenant", checkTenant}

	case 90033, 90055, 50196:
		return reason{token.Transient, "the identity service is busy", tryLater}
	}
	return reason{token.Unknown, "the identity service refused", "look up https://login.microsoftonline.com/error?code=" + strconv.Itoa(code)}
}

// signs are what libraries and tools put into their text in place of a code.
// "az login" is not among them: az says it after almost every failure.
func sign(text string) (reason, bool) {
	switch {
	case strings.Contains(text, "Status_InteractionRequired"):
		return reason{token.SignIn, "the sign-in broker needs the user", "{login}"}, true
	case strings.Contains(text, "Status_UserCanceled"):
		return reason{token.Declined, "the sign-in was cancelled", "{login}"}, true
	case strings.Contains(text, "CERTIFICATE_VERIFY_FAILED"):
		return untrusted, true
	}
	return reason{}, false
}

// aadstsCode finds a code in text. It need not begin a word: descriptions come
// with escapes in front.
var aadstsCode = regexp.MustCompile(`AADSTS([0-9]{4,8})`)

// firstCode returns the first AADSTS code in text, or 0.
func firstCode(text string) int {
	m := aadstsCode.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

func aadsts(code int) string { return "AADSTS" + strconv.Itoa(code) }

// codeOf picks from the body of an OAuth 2.0 error the code that counts: the
// first of error_codes that is known, else the first in the text, known or
// not; 0 if there is none.
func codeOf(body []byte) int {
	var e struct {
		Codes []int `json:"error_codes"`
	}
	_ = json.Unmarshal(body, &e) // what is no such object has no codes
	for _, c := range e.Codes {
		if explain(c).class != token.Unknown {
			return c
		}
	}
	if c := firstCode(string(body)); c != 0 || len(e.Codes) == 0 {
		return c
	}
	return e.Codes[0]
}
