package entratest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- RFC 7515, section 4.1.7: x5t
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// checkAssertion authenticates a client by a signed assertion (RFC 7523): one
// it signed itself by a registered certificate, or one of an issuer it is
// federated with.
func (a *Authority) checkAssertion(assertion, tenant string, client *Client) *Failure {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return failWith(700027)
	}
	if claims.Issuer == client.ID || len(client.Federated) == 0 {
		return a.checkCertificate(assertion, tenant, client)
	}
	return a.checkFederated(assertion, claims, client)
}

// checkCertificate is Entra's certificate credential.
//
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func (a *Authority) checkCertificate(assertion, tenant string, client *Client) *Failure {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(assertion, &claims, client.certificateKey,
		jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithTimeFunc(a.now), jwt.WithExpirationRequired())
	switch {
	case outOfTime(err):
		return failWith(700024)
	case err != nil:
		return failWith(700027)
	case claims.Issuer != client.ID || claims.Subject != client.ID:
		return failWith(700021)
	case len(claims.Audience) != 1 || !slices.Contains(a.assertionAudiences(tenant), claims.Audience[0]):
		return failWith(700023)
	}
	return nil
}

func (a *Authority) assertionAudiences(tenant string) []string {
	base := a.url + "/" + tenant
	return []string{base + "/oauth2/v2.0/token", base + "/oauth2/token", a.issuer(tenant), base + "/"}
}

// certificateKey returns the key of the registered certificate that the
// assertion's header names by x5t#S256, x5t or x5c.
func (c *Client) certificateKey(t *jwt.Token) (any, error) {
	for _, cert := range c.Certificates {
		sum1, sum256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw) // #nosec G401 -- a name, no proof
		if names(t.Header["x5t#S256"], sum256[:]) || names(t.Header["x5t"], sum1[:]) || carries(t.Header["x5c"], cert) {
			return cert.PublicKey, nil
		}
	}
	return nil, errors.New("the assertion names no registered certificate")
}

// names reports whether a header is the thumbprint sum. RFC 7515 has
// unpadded base64url there, MSAL padded base64; Entra takes either.
func names(header any, sum []byte) bool {
	s, _ := header.(string)
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return s == base64.RawURLEncoding.EncodeToString(sum)
}

// carries reports whether the first certificate of an x5c header is cert.
func carries(header any, cert *x509.Certificate) bool {
	chain, _ := header.([]any)
	if len(chain) == 0 {
		return false
	}
	first, _ := chain[0].(string)
	return first == base64.StdEncoding.EncodeToString(cert.Raw)
}

func outOfTime(err error) bool {
	return errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenNotValidYet)
}

// cluster is the issuer of workload assertions that stands for a Kubernetes
// cluster. Its key is made when first needed.
type cluster struct {
	once sync.Once
	key  *rsa.PrivateKey
	err  error
}

func (c *cluster) signer() (*rsa.PrivateKey, error) {
	c.once.Do(func() { c.key, c.err = rsa.GenerateKey(rand.Reader, 2048) })
	return c.key, c.err
}

// Assertion returns what the workload issuer would project into the pod of
// that client: the content of AZURE_FEDERATED_TOKEN_FILE. The client has to
// have a Federation without Key and Identity.
func (a *Authority) Assertion(clientID string) (string, error) {
	client := a.findClient(clientID)
	if client == nil {
		return "", fmt.Errorf("simulated workload issuer: no client %q", clientID)
	}
	i := slices.IndexFunc(client.Federated, func(f Federation) bool { return f.Key == nil && f.Identity == "" })
	if i < 0 {
		return "", fmt.Errorf("simulated workload issuer: client %s does not trust it", clientID)
	}
	key, err := a.cluster.signer()
	if err != nil {
		return "", fmt.Errorf("simulated workload issuer: %w", err)
	}
	f, now := a.filledIn(client.Federated[i], client), a.now()
	assertion, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: f.Issuer, Subject: f.Subject, Audience: jwt.ClaimStrings{f.Audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("simulated workload issuer: %w", err)
	}
	return assertion, nil
}
