// Package verify says whether an access token of Microsoft Entra ID is genuine,
// meant for us and in force, and whom it speaks for.
//
// It refuses everything that it cannot prove: another algorithm than the ones
// configured, a key that the tenant does not publish, a tenant that is not
// listed, an issuer that is not that tenant's. It never asks a token where its
// keys are.
package verify

import (
	"log/slog"
	"net/http"
	"time"
)

// Caller is whom a token speaks for. It is shared by all who show that token,
// and never changed.
type Caller struct {
	Tenant  string   // tid
	Object  string   // oid: the user, or the service principal of an application
	Client  string   // azp or appid: the application that asks
	Scopes  []string // scp: what a user lets that application do
	Roles   []string // roles: what an administrator assigned
	Expires time.Time

	Fingerprint string // 8 hex digits of the token's SHA-256
}

// Options say which tokens are accepted.
type Options struct {
	Authority  string   // base URL of the authority; "": https://login.microsoftonline.com
	Tenants    []string // at least one
	Audiences  []string // values of aud, at least one; compared exactly
	Clients    []string // values of azp or appid; none: any
	Algorithms []string // of RS256 and ES256; none: RS256

	HTTP *http.Client     // for the keys; required. It uses no proxy that is not configured
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil discards
}

// Invalid is what is wrong with a token. Its text holds nothing of the token
// but the names that Options has, and may be shown to the client.
type Invalid struct {
	Reason      string // one of Reasons, for labels
	Description string // a sentence for error_description (RFC 6750, section 3): visible ASCII without " and \
}

// Error implements error.
func (e *Invalid) Error() string { return e.Description }
