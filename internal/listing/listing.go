// Package listing says which of a server's tools, resources and prompts a
// pattern means, and takes out of a list of them what somebody may not see.
//
// It refuses a list, and a name, that two readers would read differently: what
// is hidden from one must not be shown to the other.
package listing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// Check says what is wrong with a pattern that can only be a mistake.
func Check(pattern string) error {
	switch {
	case pattern == "":
		return fmt.Errorf("the pattern of a name is empty; write * for all")
	case !utf8.ValidString(pattern) || strings.ContainsFunc(pattern, unicode.IsControl):
		return fmt.Errorf("the pattern %q has characters that no name has", pattern)
	}
	return nil
}

// Match reports whether name is what the pattern means, in which * stands for
// any run of characters, none too. Everything else is compared exactly, case
// included. Its time does not grow with the ways in which the pattern could fit.
func Match(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	for ok { // at the first place where it fits: no later one leaves more to the rest
		var part string
		if part, rest, wild = strings.Cut(rest, "*"); !wild {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
	}
	return false
}

// Name returns the string that a member of an object is, such as the name in the
// params of a tools/call. It is false unless every reader finds the same one.
func Name(object json.RawMessage, member string) (string, bool) {
	members, err := jsonrpc.Object(object)
	if err != nil || jsonrpc.FoldedTwice(members, member) {
		return "", false
	}
	return jsonrpc.Text(members[member])
}

// Filter takes out of a result those elements of the array member whose key, as
// [Name] reads it, is not allowed. Every other byte stays. It is false if the
// result is not one that every reader reads alike: then nothing of it may be
// shown.
func Filter(result json.RawMessage, member, key string, allowed func(name string) bool) (json.RawMessage, bool) {
	members, err := jsonrpc.Object(result)
	if err != nil || jsonrpc.FoldedTwice(members, member) || !bytes.HasPrefix(members[member], []byte("[")) {
		return nil, false
	}
	list := jsonrpc.MemberAt(result, member)
	all := jsonrpc.ElementsAt(result[list.From:list.To])
	if len(all) == 0 {
		return result, true
	}
	base := list.From
	kept := bytes.Clone(result[:base+all[0].From])
	end, first := base+all[0].From, true
	for _, e := range all {
		from, to := base+e.From, base+e.To
		name, ok := Name(result[from:to], key)
		switch {
		case !ok:
			return nil, false
		case !allowed(name):
		case first:
			kept, first = append(kept, result[from:to]...), false
		default:
			kept = append(kept, result[end:to]...) // with the comma before it
		}
		end = to
	}
	return append(kept, result[end:]...), true
}
