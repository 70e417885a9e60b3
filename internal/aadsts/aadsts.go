// Package aadsts reads the error codes of Microsoft Entra ID, AADSTS and a
// number, and says what they mean. It decides nothing: what follows from a code
// is for whoever asked.
//
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
package aadsts

import (
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Meaning is what a code says. The zero Meaning is that of a code that is not
// listed: of [token.Unknown], which never opens a sign-in.
type Meaning struct {
	Class token.Class
	Text  string // one line, "" for a code that is not listed
}

// Explain returns the meaning of code.
func Explain(code int) Meaning {
	switch code {
	case 16000, 50058, 50132, 50133, 50173, 70008, 70043, 700082, 700084:
		return Meaning{token.SignIn, "the sign-in is missing or over"}
	case 50072, 50074, 50076, 50078, 50079, 50158:
		return Meaning{token.SignIn, "a second factor or another step of the sign-in is due"}
	case 70019, 70020:
		return Meaning{token.SignIn, "the code was not used in time"}

	case 65001, 90094:
		return Meaning{token.Consent, "consent to this API is missing"}
	case 65004:
		return Meaning{token.Declined, "consent was declined"}

	case 53000, 53001, 53002, 53003, 53004:
		return Meaning{token.Policy, "a conditional access policy forbids it"}

	case 90033, 90055, 50196:
		return Meaning{token.Transient, "the identity service is busy"}
	}
	if text := wrong(code); text != "" {
		return Meaning{token.Misconfigured, text}
	}
	return Meaning{}
}

// wrong says what a code finds wrong with a setting, "" if it is none of those.
func wrong(code int) string {
	switch code {
	case 500011:
		return "the tenant does not know this API"
	case 500014:
		return "the API is disabled in this tenant"
	case 50105:
		return "the identity is not assigned to the API"
	case 50020, 50034:
		return "the account does not belong to this tenant"
	case 65002:
		return "the API does not admit this client"
	case 70011, 1002012:
		return "the scope is not valid"
	case 700016:
		return "the tenant does not know this client"
	case 7000215:
		return "the client secret is wrong"
	case 7000222:
		return "the client secret has expired"
	case 700027:
		return "the client's certificate is not registered"
	case 70021, 700211, 700212, 700213:
		return "no federated credential of the client matches"
	case 700024:
		return "the client's assertion is not valid at this time"
	case 90002, 900023:
		return "there is no such tenant"
	}
	return ""
}

// Name returns code as Entra writes it, such as AADSTS50076.
func Name(code int) string { return "AADSTS" + strconv.Itoa(code) }

// written finds a code in text. It need not begin a word: descriptions come with
// escapes in front.
var written = regexp.MustCompile(`AADSTS([0-9]{4,8})`)

// First returns the first code in text, or 0.
func First(text string) int {
	m := written.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Of picks from the body of an OAuth 2.0 error the code that counts: the first
// of error_codes whose meaning is known, else the first in the text, known or
// not; 0 if there is none.
func Of(body []byte) int {
	var e struct {
		Codes []int `json:"error_codes"`
	}
	_ = json.Unmarshal(body, &e) // what is no such object has no codes
	for _, c := range e.Codes {
		if Explain(c).Class != token.Unknown {
			return c
		}
	}
	if c := First(string(body)); c != 0 || len(e.Codes) == 0 {
		return c
	}
	return e.Codes[0]
}
