package match

// Reason says why a request was given its [Verdict]. The zero Reason is
// [NoAuthority], so that a Verdict nobody filled in grants nothing.
type Reason int

// The reasons.
const (
	NoAuthority Reason = iota
	Matched
	NoPrefix
	NoMethod
	Ambiguous
	Undecodable
	TooDeep
	TooLong
)

// String returns the reason as a clause that users read after "because".
func (r Reason) String() string {
	switch r {
	case NoAuthority:
		return "no rule names this host and port"
	case Matched:
		return "the path lies under the prefix however a server reads it"
	case NoPrefix:
		return "no rule has a prefix that covers this path"
	case NoMethod:
		return "no rule with this prefix has this method"
	case Ambiguous:
		return "servers could read this path in ways that lie under different prefixes"
	case Undecodable:
		return "the path has malformed escapes, control bytes or invalid UTF-8"
	case TooDeep:
		return "the path is still percent-encoded after four rounds of decoding"
	case TooLong:
		return "the path is too long to be read in every way"
	}
	return "unknown reason"
}
