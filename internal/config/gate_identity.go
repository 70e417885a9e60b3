package config

import (
	"net/textproto"
	"slices"
	"strings"
)

// saidOfCallers are the words for what a header can tell of a caller.
var saidOfCallers = []string{"oid", "tid", "client", "username", "name", "scopes", "roles"}

// taken are the headers that mean something else to servers or to the gate, in
// lower case, and how the names of others like them begin.
var (
	taken = []string{
		"authorization", "cookie", "set-cookie", "host", "origin", "referer", "user-agent", "date", "range", "expect", "forwarded", "via", "from",
		"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "max-forwards", "priority", "early-data",
		"cache-control", "pragma", "last-event-id", "traceparent", "tracestate", "baggage", "idempotency-key", "x-idempotency-key",
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-http-method", "x-http-method-override", "x-method-override",
	}
	takenPrefixes = []string{"content-", "accept", "mcp-", "if-", "sec-", "proxy-", "access-control-"}
)

// identities reads [route.identity_headers]: "NAME" = "WORD", in file order.
func (t *table) identities() (list []GateIdentity) {
	for _, name := range t.inOrder() {
		of, at := t.str(name, ""), t.at(name)
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		problem, hint := badIdentityHeader(name)
		switch {
		case problem != "":
			t.errorf(at, "identity_headers: %s %s", show(name), problem).Hint = hint
		case slices.ContainsFunc(list, func(i GateIdentity) bool { return i.Header == canonical }):
			t.errorf(at, "identity_headers: %s stands there twice: case does not count", show(name))
		case t.isString(name) && !slices.Contains(saidOfCallers, of):
			t.errorf(at, "identity_headers: %s tells %s, not %s%s", show(name), oneOf(saidOfCallers), show(of), didYouMean(of, saidOfCallers)).
				hint("oid says who it is, with tid; username and name change, and are for people to read")
		default:
			list = append(list, GateIdentity{Pos: at, Header: canonical, Of: of})
		}
	}
	return list
}

// badIdentityHeader says why a header may not tell who calls.
func badIdentityHeader(name string) (problem, hint string) {
	lower := strings.ToLower(name)
	switch {
	case lower == "" || !isAlnum(lower[0]) || !only(lower, func(c byte) bool { return isAlnum(c) || c == '-' }):
		return "has other than letters, digits and hyphens", "servers take other characters for hyphens, so that one name could be brought by another"
	case slices.Contains(taken, lower), slices.ContainsFunc(takenPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }):
		return "means something else", `such as "X-Forwarded-User"`
	}
	return "", ""
}
