package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	maxClaims     = 16 << 10 // bytes of the claims of a challenge
	maxRetryAfter = time.Hour
)

// refusalOf returns why err left nobody with a token. The text of err, which
// quotes what was sent and answered, is not looked at.
func (e *Exchanger) refusalOf(ctx context.Context, err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok { // of a credential
		return r
	}
	if f, ok := errors.AsType[flawed](err); ok {
		return &Refusal{Reason: Misconfigured, Detail: f.Error()}
	}
	if call, ok := errors.AsType[msal.CallErr](err); ok && call.Resp != nil {
		body, _ := io.ReadAll(io.LimitReader(call.Resp.Body, maxAnswer)) // in memory since wire has read it
		return refused(call.Resp.StatusCode, call.Resp.Header, body)
	}
	return unreached(ctx, err)
}

// unreached is the refusal where Entra gave no answer at all, or one that MSAL
// does not take.
func unreached(ctx context.Context, err error) *Refusal {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &Refusal{Reason: Misconfigured, Detail: "the authority's certificate is not trusted: add the certificate authority of what is in between to upstream_ca"}
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return &Refusal{Reason: Unavailable, Detail: "the authority cannot be resolved"}
	}
	timeout, _ := errors.AsType[net.Error](err)
	if ctx.Err() != nil || timeout != nil && timeout.Timeout() {
		return &Refusal{Reason: Unavailable, Detail: "the authority did not answer in time"}
	}
	if _, ok := errors.AsType[*url.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || timeout != nil {
		return &Refusal{Reason: Unavailable, Detail: "the authority cannot be reached"}
	}
	return &Refusal{Reason: Misconfigured, Detail: "what answers for the authority is none of Entra, or of another tenant: check authority_host"}
}

// failed is the body of an answer that gives no token.
//
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type failed struct {
	Error    string `json:"error"`
	SubError string `json:"suberror"`
	Claims   string `json:"claims"`
}

// refused reads an answer that gives no token.
func refused(status int, h http.Header, body []byte) *Refusal {
	var f failed
	_ = json.Unmarshal(body, &f) // what is no such object says nothing
	r := &Refusal{Code: aadsts.Of(body)}
	r.Reason = reasonOf(r.Code, f)
	if busy := status == http.StatusTooManyRequests || status >= 500; busy && aadsts.Explain(r.Code).Class == token.Unknown {
		r.Reason = Unavailable
	}
	switch {
	case r.Reason == Unavailable:
		r.RetryAfter = retryAfter(h)
	case f.Claims == "" || r.Reason != SignIn && r.Reason != Policy:
	case isClaims(f.Claims):
		r.Reason, r.Claims = Challenged, f.Claims
	case len(f.Claims) > maxClaims: // another token would be refused as this one is
		r.Reason = Policy
	default: // nobody can answer that
		r.Reason = SignIn
	}
	r.Detail = detail(r, status, f)
	return r
}

// reasonOf says what a code means for who asks on behalf of a user. What it means
// for everybody is in aadsts.
func reasonOf(code int, f failed) Reason {
	switch code {
	case 500133, 50057, 50055, 50144: // the token has ended; the account or its password has
		return SignIn
	case 50097, 50131, 530032, 530034, 530035: // the device or the place does not do
		return Policy
	case 50105: // this user is not assigned to the API, and others are
		return Policy
	}
	switch aadsts.Explain(code).Class {
	case token.SignIn:
		return SignIn
	case token.Consent, token.Declined:
		return Consent
	case token.Policy:
		return Policy
	case token.Transient:
		return Unavailable
	case token.Misconfigured:
		return Misconfigured
	}
	switch { // a code that nobody has listed
	case f.SubError == "consent_required" || f.Error == "consent_required":
		return Consent
	case f.Error == "interaction_required" || f.Error == "login_required":
		return SignIn
	case f.Error == "temporarily_unavailable":
		return Unavailable
	}
	return Misconfigured
}

// meaning says what a code means that comes to nobody but who asks on behalf of a
// user, and else what it means to everybody.
func meaning(code int) string {
	switch code {
	case 50013, 50027:
		return "the user's token is not one that Entra takes as an assertion"
	case 50057:
		return "the user's account is disabled"
	case 50105:
		return "the user is not assigned to the API"
	case 500131:
		return "the user's token is for another application than the gate's: check client_id"
	case 500133:
		return "the user's token has ended: check the clock"
	case 650053:
		return "the API has no such scope"
	case 28000:
		return "the scopes are of more than one API"
	case 7000114:
		return "the caller's token is an application's, not a user's"
	}
	if text := aadsts.Explain(code).Text; text != "" {
		return text
	}
	return "see https://login.microsoftonline.com/error?code=" + strconv.Itoa(code)
}

// detail is the line for the log.
func detail(r *Refusal, status int, f failed) string {
	if r.Code != 0 {
		return aadsts.Name(r.Code) + ": " + meaning(r.Code)
	}
	text := "the authority answered with HTTP " + strconv.Itoa(status)
	if isWord(f.Error) {
		text += " (" + f.Error + ")"
	}
	return text
}

// isWord reports whether s is an error code of OAuth 2.0 that may stand in a log.
func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// isClaims reports whether s is a JSON object that fits into a challenge.
func isClaims(s string) bool {
	return len(s) <= maxClaims && strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") && json.Valid([]byte(s))
}

// canBeAsked reports whether MSAL can add to claims what the gate understands: they
// have an object, or nothing, where that belongs. Else it would fail as if Entra had.
func canBeAsked(claims string) bool {
	for _, name := range []string{"access_token", "xms_cc"} {
		var object map[string]json.RawMessage
		if claims == "" {
			return true
		}
		if json.Unmarshal([]byte(claims), &object) != nil || object == nil {
			return false
		}
		claims = string(object[name])
	}
	return claims == "" || strings.HasPrefix(claims, "{")
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3). Entra
// sends seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
}

// sameUser reports whether two tokens are of the same user as far as they can be
// read. A token for another API may be opaque: it is that API's alone to read.
func sameUser(assertion, exchanged string) bool {
	a, ok := userOf(assertion)
	b, also := userOf(exchanged)
	return !ok || !also || strings.EqualFold(a.Object, b.Object) && strings.EqualFold(a.Tenant, b.Tenant)
}

// user is whom a token speaks for.
type user struct {
	Object string `json:"oid"`
	Tenant string `json:"tid"`
}

func userOf(jwt string) (u user, ok bool) {
	ok = payloadOf(jwt, &u)
	return u, ok && u.Object != "" && u.Tenant != ""
}

// endOf returns the end of a token's life, if it can be read.
func endOf(jwt string) (time.Time, bool) {
	var life struct {
		End int64 `json:"exp"`
	}
	ok := payloadOf(jwt, &life) && 0 < life.End && life.End < 1<<40
	return time.Unix(life.End, 0), ok
}

// payloadOf reads what a token says, which whoever made it may have said otherwise.
func payloadOf(jwt string, into any) bool {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.NewDecoder(bytes.NewReader(payload)).Decode(into) == nil
}
