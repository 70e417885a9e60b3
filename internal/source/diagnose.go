package source

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	azLoginPrincipal = "az login --service-principal --username APP_ID --tenant TENANT"
	cannotReach      = "the identity service cannot be reached"
)

// diagnose says what a tool's standard error means, and which AADSTS code it
// has, 0 for none. A code counts before all words: descriptions of errors
// quote much, other tools' advice included.
func (t *tool) diagnose(stderr []byte) (r reason, code int) {
	text := string(stderr)
	if code = jsonCode(text); code == 0 {
		code = aadsts.First(text)
	}
	if code != 0 {
		return t.adapt(explain(code)), code
	}
	if r, ok := sign(text); ok {
		return r, 0
	}
	if t.noSession(text) {
		return reason{token.SignIn, "nobody is signed in", "{login}"}, 0
	}
	for _, s := range toolSigns {
		if s.match.MatchString(text) {
			return s.reason, 0
		}
	}
	return reason{token.Unknown, t.name + " failed in a way that is not known", "run in a terminal: " + t.get}, 0
}

// adapt returns r with a hint for a tool: what an application has in variables
// for [Default], a tool keeps from its own sign-in.
func (t *tool) adapt(r reason) reason {
	if t.name == "az" && strings.Contains(r.hint, "AZURE_CLIENT_") {
		r.hint = "sign the application in again: " + azLoginPrincipal
	}
	return r
}

// jsonCode returns the code that counts of the first JSON object in text that
// has error_codes, or 0. It looks at a bounded number of objects, as text may
// be anything.
func jsonCode(text string) int {
	for range 16 {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			return 0
		}
		text = text[i:]
		var object json.RawMessage
		if json.NewDecoder(strings.NewReader(text)).Decode(&object) == nil {
			var e struct {
				Codes []int `json:"error_codes"`
			}
			if json.Unmarshal(object, &e) == nil && len(e.Codes) > 0 {
				return aadsts.Of(object)
			}
		}
		text = text[1:]
	}
	return 0
}

// toolSigns are what tools say of failures that have no code. None of them
// opens a sign-in.
var toolSigns = []struct {
	match  *regexp.Regexp
	reason reason
}{
	{regexp.MustCompile(`certificate verify failed|x509: |SSL connection could not be established`), untrusted},
	{regexp.MustCompile(`Temporary failure in name resolution|Name or service not known|nodename nor servname|getaddrinfo failed|NameResolutionError|No such host is known|no such host`),
		reason{token.Transient, "the identity service cannot be resolved", checkRoute}},
	{regexp.MustCompile(`Read timed out|ConnectTimeoutError|timed out\.|i/o timeout|Timeout(Error|Exception)|[Cc]onnection refused|[Cc]onnection reset|Connection aborted|Network is unreachable|No route to host|RemoteDisconnected|ProxyError|Max retries exceeded|Failed to establish a new connection|actively refused`),
		reason{token.Transient, cannotReach, checkRoute}},
	{regexp.MustCompile(`\b(429 Client Error|5[0-9][0-9] Server Error)\b|invalid status '(Too Many Requests|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Timeout)'`),
		reason{token.Transient, "the identity service is busy", tryLater}},
	{regexp.MustCompile(`Could not find a suitable TLS CA certificate bundle`),
		reason{token.Misconfigured, "a file of certificates is missing", "check REQUESTS_CA_BUNDLE and upstream_ca"}},
	{regexp.MustCompile(`(?m)^ValueError: Unable to get authority configuration for `),
		reason{token.Misconfigured, "there is no such tenant, or another server answers for the identity service", checkTenant}},
	{regexp.MustCompile(`(?m)^ERROR: Could not retrieve credential from local cache for service principal`),
		reason{token.Misconfigured, "the credential of the application that is signed in is lost", azLoginPrincipal}},
	{regexp.MustCompile(`(?m)^ERROR: No subscription found\.`),
		reason{token.Misconfigured, "no account is selected", "az account set --subscription NAME_OR_ID"}},
	{regexp.MustCompile(`(?m)^ERROR: Tenant shouldn't be specified for `),
		reason{token.Misconfigured, "the managed identity that is signed in has one tenant only", "leave out tenant of the audience, or sign in as a user: {login}"}},
	{regexp.MustCompile(`(?m)^ERROR: (unrecognized arguments|.* is misspelled or not recognized)`),
		reason{token.Misconfigured, "this version does not know what it is asked for", "az upgrade"}},
	{regexp.MustCompile(`unknown flag: --claims`), azdOutdated},
}
