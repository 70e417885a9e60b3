package jsonrpc

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// mostMembers is how many members an object that is looked into may have. Real
// messages have a dozen; what a map of them takes is many times the text.
const mostMembers = 10_000

var errMembers = errors.New("jsonrpc: an object in the message has too many members")

// Elements returns the elements of an array, such as the messages of a batch, as
// they stand in it. More than most of them are an error, found before any is
// kept.
func Elements(array []byte, most int) ([]json.RawMessage, error) {
	if !utf8.Valid(array) || !json.Valid(array) || array[skipSpace(array, 0)] != '[' {
		return nil, errors.New("jsonrpc: not an array")
	}
	n := 0
	for range each(array) {
		if n++; n > most {
			return nil, errors.New("jsonrpc: the array has too many elements")
		}
	}
	all := make([]json.RawMessage, 0, n)
	for at := range each(array) {
		all = append(all, array[at.From:at.To])
	}
	return all, nil
}

// each goes through an array, which is valid JSON.
func each(b []byte) func(func(Place) bool) {
	return func(yield func(Place) bool) {
		for i := next(b, skipSpace(b, 0)+1); i < len(b) && b[i] != ']'; {
			to := valueEnd(b, i)
			if !yield(Place{i, to}) {
				return
			}
			i = next(b, to)
		}
	}
}

// pairs goes through an object, which is valid JSON: where each name stands,
// and where its value does.
func pairs(b []byte) func(func(name, value Place) bool) {
	return func(yield func(name, value Place) bool) {
		for i := next(b, skipSpace(b, 0)+1); i < len(b) && b[i] != '}'; {
			name := Place{i, valueEnd(b, i)}
			i = next(b, name.To) // behind the colon
			value := Place{i, valueEnd(b, i)}
			if !yield(name, value) {
				return
			}
			i = next(b, value.To)
		}
	}
}

// next returns where something other than space, a comma or a colon is.
func next(b []byte, i int) int {
	for i = skipSpace(b, i); i < len(b) && (b[i] == ',' || b[i] == ':'); i = skipSpace(b, i+1) {
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// valueEnd returns where the value that begins at i ends, in valid JSON.
func valueEnd(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
			continue
		default:
			for i < len(b) && !ends(b[i]) {
				i++
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return len(b)
}

// ends reports whether c is behind a number, true, false or null.
func ends(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ':', '}', ']', '{', '[', '"':
		return true
	}
	return false
}

func stringEnd(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(b))
}

// nameIn returns the string that stands at a place.
func nameIn(b []byte, at Place) string {
	name, _ := Text(b[at.From:at.To])
	return name
}
