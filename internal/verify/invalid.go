package verify

// What can be wrong with a token, as labels say it.
const (
	Malformed   = "malformed" // no signed JWT, or one that two readers would read differently
	TooLarge    = "too-large"
	Algorithm   = "algorithm"
	Key         = "key" // none is named, or one that the tenant does not publish
	Signature   = "signature"
	Tenant      = "tenant"
	Issuer      = "issuer"
	Audience    = "audience"
	Expired     = "expired"
	NotYetValid = "not-yet-valid"
	Client      = "client"
	Claims      = "claims" // one that is needed is missing, is of another type, or wants a proof beside the token
)

// Reasons returns every value that Invalid.Reason can have.
func Reasons() []string {
	return []string{
		Malformed, TooLarge, Algorithm, Key, Signature, Tenant, Issuer, Audience, Expired, NotYetValid, Client, Claims,
	}
}

// Invalid is what is wrong with a token. Its text holds nothing of the token
// but the names that Options has, and may be shown to the client.
type Invalid struct {
	Reason      string // one of Reasons, for labels
	Description string // a sentence for error_description (RFC 6750, section 3): visible ASCII without " and \
}

// Error implements error.
func (e *Invalid) Error() string { return e.Description }

func invalid(reason, description string) *Invalid {
	return &Invalid{Reason: reason, Description: description}
}
