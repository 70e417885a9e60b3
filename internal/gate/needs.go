package gate

import (
	"slices"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// met reports whether the caller, nil for the anonymous one, has what is needed.
func (n Needs) met(c *verify.Caller) bool {
	if len(n.Scopes)+len(n.Roles) == 0 {
		return true
	}
	return c != nil && (overlap(n.Scopes, c.Scopes) || overlap(n.Roles, c.Roles))
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
