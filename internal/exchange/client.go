package exchange

import (
	"context"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// client returns MSAL's client for tenant with the credential as it is now. It
// serves one request: what MSAL would keep of a user's tokens goes with it.
func (e *Exchanger) client(tenant string) (confidential.Client, error) {
	if !isTenant(tenant) {
		return confidential.Client{}, &Refusal{Reason: Misconfigured, Detail: "the tenant is neither a GUID nor a domain"}
	}
	c, err := confidential.New(e.o.Authority+"/"+tenant, e.o.ClientID, e.credential.current(),
		confidential.WithHTTPClient(e.wire),
		confidential.WithClientCapabilities([]string{"cp1"}), // it understands claims challenges
		confidential.WithInstanceDiscovery(false),            // the configuration says who the authority is
		confidential.WithAzureRegion("DisableMsalForceRegion"),
		confidential.WithX5C(),
	)
	if err != nil {
		return confidential.Client{}, &Refusal{Reason: Misconfigured, Detail: "the authority or the credential does not suit MSAL"}
	}
	return c, nil
}

// ask has Entra exchange the token of q. It returns the one of the API and how
// long it is good for.
func (e *Exchanger) ask(ctx context.Context, q query) (token string, life time.Duration, err error) {
	c, err := e.client(q.tenant)
	if err != nil {
		return "", 0, err
	}
	var o []confidential.AcquireOnBehalfOfOption
	if q.claims != "" {
		o = append(o, confidential.WithClaims(q.claims))
	}
	r, err := c.AcquireTokenOnBehalfOf(ctx, q.assertion, e.o.Scopes, o...)
	if err != nil {
		return "", 0, err
	}
	if !sameUser(q.assertion, r.AccessToken) {
		return "", 0, flawed("is a token of somebody else")
	}
	return r.AccessToken, time.Until(r.ExpiresOn) - longer, nil
}

// isTenant reports whether s can stand in a path as one segment.
func isTenant(s string) bool {
	for i := range len(s) {
		c := s[i]
		if alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'; !alnum && c != '-' && (c != '.' || i == 0) {
			return false
		}
	}
	return s != ""
}
