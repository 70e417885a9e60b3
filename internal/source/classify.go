package source

import (
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/aadsts"
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

// explain says what an AADSTS code means, and what to do about it. One that is
// not listed is Unknown, which never opens a sign-in.
func explain(code int) reason {
	m := aadsts.Explain(code)
	r := reason{m.Class, m.Text, "{login}"}
	switch m.Class {
	case token.Unknown:
		r.message, r.hint = "the identity service refused", "look up https://login.microsoftonline.com/error?code="+strconv.Itoa(code)
	case token.Consent:
		r.hint = "{login}, or have the API's owner authorise client " + azureCLI
	case token.Policy:
		r.hint = askAdmin + " which policy blocks this device or place"
	case token.Transient:
		r.hint = tryLater
	case token.Misconfigured:
		r.hint = setting(code)
	}
	return r
}

// setting says which setting to mend after a code that finds one wrong.
func setting(code int) string {
	switch code {
	case 500011:
		return `check the audience: an API with an App ID URI of its own needs resource = "…" in place of client_id`
	case 500014:
		return askAdmin + " to enable its service principal"
	case 50105:
		return askAdmin + " to assign it"
	case 65002:
		return "have the API's owner authorise client " + azureCLI
	case 70011, 1002012:
		return "check client_id, resource or scope of the audience"
	case 700016:
		return "check AZURE_CLIENT_ID and the tenant"
	case 7000215:
		return "set AZURE_CLIENT_SECRET to the secret's value, not to its ID"
	case 7000222:
		return "make a new one and set AZURE_CLIENT_SECRET"
	case 700027:
		return "upload the certificate in AZURE_CLIENT_CERTIFICATE_PATH to the application"
	case 70021, 700211, 700212, 700213:
		return "check issuer, subject and audience of the application's federated credential"
	case 700024:
		return "check the clock, and that AZURE_FEDERATED_TOKEN_FILE is renewed"
	}
	return checkTenant
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
