package gate

import (
	"strings"
	"unicode"
)

// standing is what a method is to the gate.
type standing int

const (
	notOfMCP standing = iota // it decides nothing on it but by the route's default
	byName                   // decided on by what its params name
	anybodys                 // everybody who is let in may send it
)

// known says what a method is, of all versions of MCP from 2024-11-05 to
// 2026-07-28. Those by which a server asks a client are none that a server takes.
func known(method string) standing {
	switch method {
	case "tools/call", "prompts/get", "resources/read", "resources/subscribe", "resources/unsubscribe",
		"completion/complete", "subscriptions/listen":
		return byName
	case "initialize", "ping", "server/discover", "logging/setLevel",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update":
		return anybodys
	}
	if strings.HasPrefix(method, "notifications/") {
		return anybodys
	}
	return notOfMCP
}

// disguised reports whether a careless server could take the method, which is not
// decided on by name, for one that is.
func disguised(method string) bool {
	plain := strings.TrimFunc(method, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for _, m := range []string{
		"tools/call", "prompts/get", "resources/read", "resources/subscribe", "resources/unsubscribe", "completion/complete", "subscriptions/listen",
	} {
		if strings.EqualFold(plain, m) {
			return true
		}
	}
	return false
}

// mayList reports whether the answer to the message may hold a list of what
// there is. It is false of those only whose one answer is what one of the names
// is about.
func (m *message) mayList() bool {
	if m == nil || m.batch || len(m.calls) != 1 {
		return true
	}
	switch m.calls[0].Method {
	case "tools/call", "prompts/get", "resources/read", "completion/complete":
		return false
	}
	return true
}
