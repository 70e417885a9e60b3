package jsonrpc

import (
	"encoding/json"
	"strings"
	"unicode"
)

// Place is where a value stands in a text: its first byte, and the one behind
// its last. The zero value stands for no value.
type Place struct{ From, To int }

// MemberAt returns where the value of the last member of that name stands in an
// object, which must be valid JSON.
func MemberAt(object []byte, name string) (at Place) {
	for member, value := range pairs(object) {
		if nameIn(object, member) == name {
			at = value
		}
	}
	return at
}

// ElementsAt returns where the elements of an array stand, which must be valid
// JSON.
func ElementsAt(array []byte) (all []Place) {
	for at := range each(array) {
		all = append(all, at)
	}
	return all
}

// FoldedTwice reports whether members have a name that only careless readers take
// for this one: those that fold case, as Go's encoding/json, that end it at a NUL,
// or that trim it.
func FoldedTwice(members map[string]json.RawMessage, name string) bool {
	for m := range members {
		if len(m) >= len(name) && m != name && strings.EqualFold(bare(m), name) {
			return true
		}
	}
	return false
}

// bare is a name up to a NUL, without what cannot be seen around it.
func bare(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return strings.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) })
}
