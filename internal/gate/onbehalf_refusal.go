package gate

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	onbehalf "github.com/injectproxy/injectproxy/internal/exchange"
)

// insufficientClaims is the error of a challenge for claims.
//
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
const insufficientClaims = "insufficient_claims"

// mostEchoed is how long claims may be to go into a header, where common clients
// have room for 16 KiB in all.
const mostEchoed = 8 << 10

// untold has the log say why there is no token for the upstream, and returns the
// answer. What became of the request so far is in done.
func (g *Gate) untold(x *exchange, no *onbehalf.Refusal, done string) answer {
	g.tellRefusal(x, no)
	a := g.unexchanged(x.route, no)
	a.denied, a.detail = deniedExchange, done
	if no.Code != 0 {
		a.detail = fmt.Sprintf("%s; the code of Microsoft Entra ID is AADSTS%d", done, no.Code)
	}
	return a
}

// unexchanged is the answer where the caller's token was not exchanged. A challenge
// is in it where another token helps; what only others can mend is said so that
// agents show it.
func (g *Gate) unexchanged(r *route, no *onbehalf.Refusal) answer {
	switch no.Reason {
	case onbehalf.Challenged:
		if challenge, ok := g.claimsChallenge(r, no.Claims); ok {
			return answer{
				status: http.StatusForbidden, kind: "claims", title: claimsNeeded, challenge: challenge,
				hint: "Get a token with the claims that the WWW-Authenticate header has",
			}
		}
		if no.Claims != "" { // who signed in again without them would be refused again
			return answer{
				status: http.StatusForbidden, kind: "policy", readable: true, title: "A policy of the tenant asks for more than fits into an answer",
				hint: "Who administers Conditional Access in the tenant has to make that shorter",
			}
		}
		fallthrough
	case onbehalf.SignIn:
		title := "The sign-in that the access token stems from no longer counts"
		return answer{
			status: http.StatusUnauthorized, kind: "sign-in", title: title, hint: "Sign in again",
			challenge: g.challenge(r, invalidToken, title, r.Scopes),
		}
	case onbehalf.Consent:
		return answer{
			status: http.StatusForbidden, kind: "consent", readable: true, title: "Nobody has consented to this server's being used on behalf of the user",
			hint: "An administrator of the tenant has to consent: the log of the gate says how",
		}
	case onbehalf.Policy:
		return answer{
			status: http.StatusForbidden, kind: "policy", readable: true, title: "A policy of the tenant does not let the user use this server",
			hint: "Who administers Conditional Access in the tenant finds the reason in the log of sign-ins",
		}
	case onbehalf.Unavailable:
		return answer{
			status: http.StatusServiceUnavailable, kind: "exchange-unavailable", title: "Access tokens cannot be exchanged at the moment",
			retryAfter: max(no.RetryAfter, time.Second), hint: "Microsoft Entra ID did not answer in time, or is busy: try again",
		}
	}
	return answer{
		status: http.StatusBadGateway, kind: "exchange-failed", title: "The access token cannot be exchanged for one of the MCP server's",
		hint: "The operator of the gate has to mend that: its log has the reason",
	}
}

const claimsNeeded = "The access token does not prove what a policy of the tenant asks for"

// claimsChallenge asks the client for another token with those claims; false if they
// are too long for a header, or none. In base64 they are as Entra's own APIs write them, and
// nothing in a header can be taken for something else.
func (g *Gate) claimsChallenge(r *route, claims string) (string, bool) {
	if claims == "" || len(claims) > mostEchoed {
		return "", false
	}
	return "Bearer " + strings.Join([]string{
		param("error", insufficientClaims), param("error_description", claimsNeeded), param("resource_metadata", g.metadataURL(r)),
		param("claims", base64.StdEncoding.EncodeToString([]byte(claims))),
	}, ", "), true
}

// tellRefusal has the log say what the operator can mend. What users can is said in
// the answer alone.
func (g *Gate) tellRefusal(x *exchange, no *onbehalf.Refusal) {
	level, what, hint := slog.LevelDebug, "a token was not exchanged", ""
	switch no.Reason {
	case onbehalf.Consent:
		level, what, hint = slog.LevelWarn, "NOBODY HAS CONSENTED to the scopes that a route needs on behalf of users: its calls fail", g.consentAt(x.caller.Tenant)
	case onbehalf.Misconfigured:
		level, what = slog.LevelError, "tokens cannot be exchanged for the MCP server's"
	case onbehalf.Unavailable:
		level, what = slog.LevelWarn, "tokens cannot be exchanged at the moment"
	}
	if level > slog.LevelDebug && !x.route.told.may(string(no.Reason)+" "+x.caller.Tenant, time.Now()) {
		return
	}
	attrs := []any{"route", x.route.Path, "tenant", x.caller.Tenant, "reason", string(no.Reason)}
	if no.Reason == onbehalf.Consent && len(x.route.BehalfOf) > 0 {
		attrs = append(attrs, "scopes", strings.Join(x.route.BehalfOf, " "))
	}
	if no.Code != 0 {
		attrs = append(attrs, "code", fmt.Sprintf("AADSTS%d", no.Code))
	}
	if no.Detail != "" {
		attrs = append(attrs, "error", no.Detail)
	}
	if hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	g.o.Log.Log(x.r.Context(), level, what, attrs...)
}

// consentAt says where an administrator of the tenant consents for all its users, ""
// if that is not known. The query stands by itself: the log has none of a URL.
func (g *Gate) consentAt(tenant string) string {
	if g.o.ClientID == "" || g.o.Authority == "" {
		return ""
	}
	at, query, _ := strings.Cut(onbehalf.ConsentURL(g.o.Authority, tenant, g.o.ClientID), "?")
	return "an administrator consents at " + at + " with the query " + query
}

// seldom keeps what each request would have the log say from being said all the
// time. The zero value has said nothing.
type seldom struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// may reports whether what is to be said now. There are but few things to say.
func (s *seldom) may(what string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[what]; ok && now.Sub(last) < troublePause {
		return false
	}
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	s.last[what] = now
	return true
}
