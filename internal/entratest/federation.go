package entratest

import (
	"crypto"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Federation is a federated identity credential: an assertion of that
// issuer, subject and audience authenticates the client. The zero Federation
// trusts the assertions that [Authority.Assertion] makes.
type Federation struct {
	Issuer   string           // "" means the authority's own workload issuer
	Subject  string           // "" means "system:serviceaccount:default:" and the client id
	Audience string           // "" means api://AzureADTokenExchange
	Key      crypto.PublicKey // RSA key of the issuer; nil means the workload issuer's

	// Identity is the client id of a managed identity whose tokens for
	// [TokenExchange] are the assertions. It decides Issuer, Subject and Key.
	Identity string
}

// TokenExchange returns what tokens are for that serve as federated assertions.
// Every directory has it.
//
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
func TokenExchange() Resource {
	return Resource{
		ID:      "fb60f99c-7a34-4190-8149-302f77469936", // the same in every tenant
		URIs:    []string{"api://AzureADTokenExchange"},
		Version: 2,
	}
}

// checkIdentities refuses to trust managed identities that are not there.
func (d *directory) checkIdentities(c Client) error {
	for _, f := range c.Federated {
		if known := d.findClient(f.Identity); f.Identity != "" && (known == nil || !known.Managed) {
			return fmt.Errorf("simulated authority: client %s trusts %q, which is no managed identity", c.ID, f.Identity)
		}
	}
	return nil
}

// filledIn returns f with its defaults.
func (a *Authority) filledIn(f Federation, client *Client) Federation {
	if f.Identity != "" {
		f.Issuer, f.Subject = a.issuer(a.tenants[0]), a.findClient(f.Identity).ObjectID
	}
	f.Issuer = orDefault(f.Issuer, a.url+"/workload")
	f.Subject = orDefault(f.Subject, "system:serviceaccount:default:"+client.ID)
	f.Audience = orDefault(f.Audience, "api://AzureADTokenExchange")
	return f
}

// checkFederated compares with the client's federated credentials: issuer,
// then subject, then audience, each with its own code. claims are not
// verified yet.
//
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation
func (a *Authority) checkFederated(assertion string, claims jwt.RegisteredClaims, client *Client) *Failure {
	failure := failWith(700211)
	for _, f := range client.Federated {
		switch f = a.filledIn(f, client); {
		case claims.Issuer != f.Issuer:
		case claims.Subject != f.Subject:
			failure = failWith(700213)
		case !slices.ContainsFunc(claims.Audience, func(s string) bool { return a.trusts(f, s) }):
			failure = failWith(700212)
		default:
			return a.checkSignature(assertion, f)
		}
	}
	return failure
}

// trusts reports whether an assertion for audience is one for f. A managed
// identity's names the API by its id.
func (a *Authority) trusts(f Federation, audience string) bool {
	return audience == f.Audience || f.Identity != "" && a.sameAudience(audience, f.Audience)
}

// checkSignature verifies an assertion by the key of its issuer.
func (a *Authority) checkSignature(assertion string, f Federation) *Failure {
	var err error
	if f.Identity != "" {
		_, err = a.Validate(assertion, f.Audience)
	} else {
		key := f.Key
		if key == nil {
			own, unmade := a.cluster.signer()
			if unmade != nil {
				return failWith(90033)
			}
			key = own.Public()
		}
		_, err = jwt.Parse(assertion, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(a.now), jwt.WithExpirationRequired())
	}
	switch {
	case outOfTime(err):
		return failWith(700024)
	case err != nil:
		return failWith(700027)
	}
	return nil
}
