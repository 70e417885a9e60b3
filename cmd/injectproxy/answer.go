package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/token"
)

// answering turns the errors of tokens into answers for the client.
type answering struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t answering) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err == nil {
		return res, nil
	}
	if e, ok := errors.AsType[*token.Error](err); ok {
		return nil, tokenAnswer(e)
	}
	if errors.Is(err, inject.ErrRefused) {
		return nil, &proxy.Answer{
			Status: http.StatusBadGateway, Type: "token-withheld", Title: "The token was withheld", Reason: "http_request_denied", Final: true,
			Detail: sentence(strings.TrimPrefix(err.Error(), "inject: ")) + " Nothing was sent.", Err: err,
		}
	}
	return nil, err
}

// tokenAnswer says why there is no token. It is never a 401: clients would
// start a sign-in of their own, to the wrong place.
func tokenAnswer(e *token.Error) *proxy.Answer {
	detail := strings.TrimSuffix(e.Error(), ".") + "."
	if e.Source == "" { // the name of a source or a setting keeps its case
		detail = sentence(detail)
	}
	a := &proxy.Answer{
		Status: http.StatusBadGateway, Type: "token-misconfigured", Title: "No token could be had for this request",
		Detail: detail + " Nothing was sent.", Hint: e.Hint, Reason: "proxy_configuration_error", Final: true, Err: e,
	}
	switch e.Class {
	case token.SignIn, token.Declined:
		a.Status, a.Type, a.Title, a.Reason = http.StatusNetworkAuthenticationRequired, "sign-in-needed", "A sign-in is needed", "http_request_denied"
	case token.Consent, token.Policy:
		a.Type, a.Title = "token-refused", "The identity service refuses a token"
	case token.Transient:
		a.Status, a.Type, a.Title, a.Reason = http.StatusServiceUnavailable, "identity-unavailable", "The identity service is not available", "destination_unavailable"
		a.RetryAfter, a.Final = cmp.Or(e.RetryAfter, 5*time.Second), false
	}
	return a
}

// sentence gives s a capital and a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// observed lets the layers of a route talk about the token they use, and
// records what came of it.
type observed struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t observed) RoundTrip(r *http.Request) (*http.Response, error) {
	use := new(token.Use)
	res, err := t.next.RoundTrip(r.WithContext(token.WithUse(r.Context(), use)))
	rec := record.FromContext(r.Context())
	rec.Source, rec.Fingerprint = use.Token.Source(), use.Token.Fingerprint()
	rec.Attempts, rec.Retry = use.Attempts, use.Retry
	return res, err
}

// refuse answers every request with one answer.
type refuse struct{ answer *proxy.Answer }

// RoundTrip implements [http.RoundTripper].
func (t refuse) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, t.answer
}

// ruleOff is the answer under a rule that is not live.
func ruleOff(r config.Rule) *proxy.Answer {
	detail := fmt.Sprintf("Rule %s is off: %s. Nothing was sent.", r.Name, r.Off)
	if r.Name == "" {
		detail = sentence(r.Off) + " Nothing was sent."
	}
	return &proxy.Answer{
		Status: http.StatusBadGateway, Type: "rule-off", Title: "The rule for this request is off", Detail: detail,
		Hint: cmp.Or(r.Remedy, "Run injectproxy check: it names each problem with file and line."), Reason: "proxy_configuration_error", Final: true,
	}
}

// unsignable returns the answer for an authority that the CA cannot speak for,
// nil if it can.
func unsignable(a *ca.Authority, r config.Rule, authority string) *proxy.Answer {
	host, _, _ := net.SplitHostPort(authority) // canonical: it splits
	var err error
	if a == nil {
		err = &ca.Error{Reason: "there is no CA"}
	} else if err = a.Check(host); err == nil {
		return nil
	}
	answer := ruleOff(r)
	if e, ok := errors.AsType[*ca.Error](err); ok && r.Off == "" {
		answer.Detail, answer.Hint = "Rule "+r.Name+" is off: "+e.Reason+".", e.Hint
	}
	return answer
}

// trustHint tells the user of a client what it lacks.
func trustHint(a *ca.Authority) string {
	if a == nil || a.RootFile() == "" {
		return "have the client trust injectproxy's CA"
	}
	return fmt.Sprintf("have the client trust %s (NODE_EXTRA_CA_CERTS for Node; bundle.pem beside it for SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE, GIT_SSL_CAINFO)", a.RootFile())
}
