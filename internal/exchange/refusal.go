package exchange

import "time"

// Reason is why there is no token.
type Reason string

// The reasons.
const (
	Challenged    Reason = "challenged"    // the user has to do more: Claims says what a token has to prove
	SignIn        Reason = "sign-in"       // the user's sign-in is over, or another step of it is due
	Consent       Reason = "consent"       // nobody has consented to the scopes
	Policy        Reason = "policy"        // Conditional Access forbids it, whatever the user does
	Misconfigured Reason = "misconfigured" // the operator has to mend it
	Unavailable   Reason = "unavailable"   // Entra cannot be asked at the moment
)

// Refusal is why there is no token. What it says holds no secret. It is not
// changed: many may have the same one.
type Refusal struct {
	Reason     Reason
	Code       int           // AADSTS code; 0: none was given
	Claims     string        // of Challenged: a JSON object, at most 16 KiB
	RetryAfter time.Duration // of Unavailable; 0: Entra did not say
	Detail     string        // for the operator's log: a line, without trace ids
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "the token cannot be exchanged: " + string(r.Reason)
	}
	return "the token cannot be exchanged: " + r.Detail
}

// Memories of refusals: a client in a loop does not have Entra asked each time.
const (
	refusedFor     = 10 * time.Second
	unavailableFor = time.Second
)

// remembered is how long r is what everybody with the same token hears.
func (r *Refusal) remembered() time.Duration {
	if r.Reason == Unavailable {
		return min(max(r.RetryAfter, unavailableFor), refusedFor)
	}
	return refusedFor
}
