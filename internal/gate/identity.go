package gate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// Identities returns the words for what an upstream may be told of a caller.
func Identities() []string {
	return []string{"oid", "tid", "client", "username", "name", "scopes", "roles"}
}

// mostIdentity is how long the value of an identity header may be, in bytes.
const mostIdentity = 1 << 10

// identityOf returns what the word stands for of c; "" for nothing.
//
// It is left out as a whole where it is not visible ASCII, with blanks between, or
// longer than 1 KiB: servers do not agree on how other bytes are read, and a value
// that is cut, or trimmed, is another's.
func identityOf(c *verify.Caller, word string) string {
	switch word {
	case "oid":
		return asIs(c.Object)
	case "tid":
		return asIs(c.Tenant)
	case "client":
		return asIs(c.Client)
	case "username":
		return asIs(c.Username)
	case "name":
		return asIs(c.Name)
	case "scopes":
		return separated(c.Scopes)
	case "roles":
		return separated(c.Roles)
	}
	return ""
}

// asIs is s, if it can stand in a header and be read in one way alone, else "".
func asIs(s string) string {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if len(s) > mostIdentity || strings.ContainsFunc(s, odd) || strings.TrimSpace(s) != s {
		return ""
	}
	return s
}

// separated are words with blanks between. One that has a blank itself would be two.
func separated(words []string) string {
	if slices.ContainsFunc(words, func(w string) bool { return w == "" || strings.Contains(w, " ") }) {
		return ""
	}
	return asIs(strings.Join(words, " "))
}

// introduce has h say who the caller is. What the client says by these names has been
// removed from it.
func (x *exchange) introduce(h http.Header) {
	if x.caller == nil {
		return
	}
	for _, i := range x.route.Identity {
		if value := identityOf(x.caller, i.Of); value != "" {
			h[i.Name] = []string{value}
		}
	}
}

// identityNames are the names of identity headers on any route, in lower case: a
// server may hear by two routes, only one of which says who calls.
func identityNames(routes []Route) (map[string]bool, error) {
	all := map[string]bool{}
	for _, r := range routes {
		own := map[string]bool{}
		for _, i := range r.Identity {
			name := strings.ToLower(i.Name)
			switch {
			case http.CanonicalHeaderKey(i.Name) != i.Name || unfitName(name):
				return nil, fmt.Errorf("gate: %q cannot be an identity header", i.Name)
			case !slices.Contains(Identities(), i.Of):
				return nil, fmt.Errorf("gate: %q is nothing that is known of a caller", i.Of)
			case own[name]:
				return nil, fmt.Errorf("gate: the identity header %q is there twice", i.Name)
			}
			all[name], own[name] = true, true
		}
	}
	return all, nil
}

var (
	// meaningful are the headers that say something else than who calls.
	meaningful = []string{
		"authorization", "host", "cookie", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect", "range",
		"user-agent", "origin", "referer", "via", "forwarded", "date", "last-event-id", "cache-control", "idempotency-key", "x-idempotency-key",
		"traceparent", "tracestate", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
	}
	meaningfulPrefixes = []string{"proxy-", "content-", "accept", "if-", "sec-", "mcp-", "access-control-"}
)

// unfitName reports whether a header of that name, in lower case, has another
// meaning, or is one that some servers take for another's.
func unfitName(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name == "" || slices.Contains(meaningful, name) ||
		slices.ContainsFunc(meaningfulPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
