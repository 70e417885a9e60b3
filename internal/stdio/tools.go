package stdio

import (
	"encoding/json"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
	"github.com/injectproxy/injectproxy/internal/listing"
)

// Patterns returns which tools may be seen and called: those that a pattern of
// allow matches, or all if there is none, but for those that one of ignore
// matches. In a pattern * stands for any run of characters; everything else is
// compared exactly, case included. Without any pattern it returns nil, which is
// how [Options] say all.
func Patterns(allow, ignore []string) (func(name string) bool, error) {
	for _, p := range slices.Concat(allow, ignore) {
		if err := listing.Check(p); err != nil {
			return nil, err
		}
	}
	if len(allow)+len(ignore) == 0 {
		return nil, nil
	}
	allow, ignore = slices.Clone(allow), slices.Clone(ignore)
	return func(name string) bool {
		matches := func(pattern string) bool { return listing.Match(pattern, name) }
		return (len(allow) == 0 || slices.ContainsFunc(allow, matches)) && !slices.ContainsFunc(ignore, matches)
	}, nil
}

// toolName returns the name in the params of a tools/call. It is false unless
// every reader finds the same one.
func toolName(params json.RawMessage) (string, bool) { return listing.Name(params, "name") }

// filterTools takes the tools that are not allowed out of the result of a
// tools/list. Every other byte stays. It is false if the result is not one that
// every reader reads alike: then nothing of it may be shown.
func filterTools(result json.RawMessage, allowed func(name string) bool) (json.RawMessage, bool) {
	return listing.Filter(result, "tools", "name", allowed)
}

// span is where a value stands.
type span struct{ from, to int }

// memberAt returns where the value of the last member of that name stands in an
// object that is valid JSON.
func memberAt(object []byte, name string) span {
	at := jsonrpc.MemberAt(object, name)
	return span{at.From, at.To}
}
