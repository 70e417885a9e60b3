package gate

// The words for why a request is not passed on: labels of metrics, and what
// audit lines say.
const (
	deniedNoToken      = "no-token"
	deniedInvalidToken = "invalid-token"
	deniedUnverifiable = "unverifiable"  // the keys of Entra are not at hand
	deniedNoPermission = "no-permission" // neither scopes nor roles
	deniedScope        = "scope"
	deniedRole         = "role"
	deniedUnmapped     = "unmapped"         // nobody may have it
	deniedMethod       = "method"           // of HTTP, or of the message
	deniedMessage      = "message"          // not one that every reader reads alike
	deniedHeader       = "header"           // contradicts the message
	deniedApplication  = "application"      // for whom nothing can be exchanged
	deniedEnding       = "ending"           // the token is good for too short a time to be exchanged
	deniedExchange     = "exchange"         // Request.Exchange says why there is no token for the upstream
	deniedSession      = "session"          // unknown, or another's
	deniedUnknown      = "sessions-unknown" // nobody can tell whose the session is
	deniedOrigin       = "origin"
	deniedHost         = "host"
	deniedPath         = "path"
	deniedTooLarge     = "too-large"
	deniedBusy         = "busy" // no room for the message
	deniedUpgrade      = "upgrade"
	deniedAnswer       = "answer" // the upstream's cannot be judged, and is not shown
)

// Denials returns all values that Request.Denied may have beside "".
func Denials() []string {
	return []string{
		deniedNoToken, deniedInvalidToken, deniedUnverifiable, deniedNoPermission, deniedScope, deniedRole, deniedUnmapped, deniedMethod,
		deniedMessage, deniedHeader, deniedSession, deniedOrigin, deniedHost, deniedPath, deniedTooLarge, deniedBusy, deniedUpgrade, deniedAnswer,
		deniedApplication, deniedEnding, deniedExchange, deniedUnknown,
	}
}
