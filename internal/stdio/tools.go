package stdio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// Patterns returns which tools may be seen and called: those that a pattern of
// allow matches, or all if there is none, but for those that one of ignore
// matches. In a pattern * stands for any run of characters; everything else is
// compared exactly, case included. Without any pattern it returns nil, which is
// how [Options] say all.
func Patterns(allow, ignore []string) (func(name string) bool, error) {
	for _, p := range slices.Concat(allow, ignore) {
		switch {
		case p == "":
			return nil, fmt.Errorf("the pattern of a tool's name is empty; write * for all")
		case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
			return nil, fmt.Errorf("the pattern %q has characters that no tool's name has", p)
		}
	}
	if len(allow)+len(ignore) == 0 {
		return nil, nil
	}
	allow, ignore = slices.Clone(allow), slices.Clone(ignore)
	return func(name string) bool {
		matches := func(pattern string) bool { return matchTool(pattern, name) }
		return (len(allow) == 0 || slices.ContainsFunc(allow, matches)) && !slices.ContainsFunc(ignore, matches)
	}, nil
}

// matchTool takes what stands between two * at the first place where it fits:
// no later one leaves more to the rest.
func matchTool(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	for ok {
		var part string
		if part, rest, wild = strings.Cut(rest, "*"); !wild {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
	}
	return false
}

// toolName returns the name in the params of a tools/call. It is false unless
// every reader finds the same one.
func toolName(params json.RawMessage) (string, bool) {
	members, err := jsonrpc.Object(params)
	if err != nil || foldedTwice(members, "name") {
		return "", false
	}
	return jsonrpc.Text(members["name"])
}

// foldedTwice reports whether members have a name that only readers that fold
// case, as Go's encoding/json, take for this one.
func foldedTwice(members map[string]json.RawMessage, name string) bool {
	for m := range members {
		if m != name && strings.EqualFold(m, name) {
			return true
		}
	}
	return false
}

// filterTools takes the tools that are not allowed out of the result of a
// tools/list. Every other byte stays. It is false if the result is not one that
// every reader reads alike: then nothing of it may be shown.
func filterTools(result json.RawMessage, allowed func(name string) bool) (json.RawMessage, bool) {
	members, err := jsonrpc.Object(result)
	if err != nil || foldedTwice(members, "tools") || !bytes.HasPrefix(members["tools"], []byte("[")) {
		return nil, false
	}
	list := memberAt(result, "tools")
	tools := elementsAt(result, list)
	if len(tools) == 0 {
		return result, true
	}
	kept := bytes.Clone(result[:tools[0].from])
	end, first := tools[0].from, true
	for _, t := range tools {
		name, ok := toolName(result[t.from:t.to]) // a tool has its name where a call has it
		switch {
		case !ok:
			return nil, false
		case !allowed(name):
		case first:
			kept, first = append(kept, result[t.from:t.to]...), false
		default:
			kept = append(kept, result[end:t.to]...) // with the comma before it
		}
		end = t.to
	}
	return append(kept, result[end:]...), true
}

// span is where a value stands.
type span struct{ from, to int }

// memberAt returns where the value of the last member of that name stands in an
// object that is valid JSON.
func memberAt(object []byte, name string) (at span) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // the brace
	for d.More() {
		member, err := d.Token()
		if err != nil {
			return at
		}
		if v := nextAt(d, 0); member == name {
			at = v
		}
	}
	return at
}

// elementsAt returns where the elements of the array stand that stands at list.
func elementsAt(b []byte, list span) (all []span) {
	d := json.NewDecoder(bytes.NewReader(b[list.from:list.to]))
	_, _ = d.Token() // the bracket
	for d.More() {
		all = append(all, nextAt(d, list.from))
	}
	return all
}

// nextAt reads one value of valid JSON and returns where it stands, base being
// where the decoder began.
func nextAt(d *json.Decoder, base int) span {
	var v json.RawMessage
	_ = d.Decode(&v) // of valid JSON it cannot fail
	to := base + int(d.InputOffset())
	return span{to - len(v), to}
}
