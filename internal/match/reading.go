package match

import (
	"strings"
	"unicode/utf8"
)

const (
	maxRounds = 4       // of percent-decoding; more is no honest path
	maxPath   = 8 << 10 // bytes of a path that is not plain
	maxWork   = 1 << 18 // bytes of all its readings
)

// agree visits every reading of rawPath, each once, the path as it is written
// among them. It returns Matched if same held for all of them, Ambiguous if
// not, and another reason if the path cannot be read at all.
//
// Readings are found by applying the steps to what they yield until nothing
// new comes, so that no order of them is forgotten.
func agree(rawPath string, same func(reading string) bool) Reason {
	if rawPath == "" {
		rawPath = "/" // RFC 9110 section 4.2.3
	}
	if reason := readable(rawPath); reason != Matched {
		return reason
	}
	seen := map[string]bool{rawPath: true}
	queue := []string{rawPath}
	work := len(rawPath)
	for len(queue) > 0 {
		reading := queue[0]
		queue = queue[1:]
		if !same(reading) {
			return Ambiguous
		}
		for _, step := range steps {
			next := step(reading)
			if seen[next] {
				continue
			}
			if work += len(next); work > maxWork {
				return TooLong
			}
			seen[next] = true
			queue = append(queue, next)
		}
	}
	return Matched
}

// readable returns Matched if rawPath can be decoded until nothing is left to
// decode, without meeting a byte or an escape that servers treat in ways of
// their own.
func readable(rawPath string) Reason {
	if rawPath[0] != '/' || strings.ContainsAny(rawPath, "?# ") {
		return Undecodable
	}
	if len(rawPath) > maxPath {
		return TooLong
	}
	path := rawPath
	for round := 0; ; round++ {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) || !utf8.ValidString(path) {
			return Undecodable
		}
		ok, more := decodable(path, round == 0)
		switch {
		case !ok:
			return Undecodable
		case !more:
			return Matched
		case round == maxRounds:
			return TooDeep
		}
		path = unescape(path, every)
	}
}

// decodable reports whether servers decode path in the same way, and whether
// there is anything to decode. On the wire each percent sign begins an escape.
// Later a lone one is a character like any other ("100%25" is a fine name), but
// beside something that still decodes, some servers fail and some go on. The
// form %uXXXX is decoded by some and has never been a standard.
func decodable(path string, wire bool) (ok, more bool) {
	lone := false
	for i := range len(path) {
		if path[i] != '%' {
			continue
		}
		if _, ok := triplet(path, i); ok {
			more = true
		} else if lone = true; utf16Escape(path[i:]) {
			return false, more
		}
	}
	return !lone || !wire && !more, more
}

func utf16Escape(s string) bool {
	if len(s) < 6 || s[1]|0x20 != 'u' {
		return false
	}
	for i := 2; i < 6; i++ {
		if unhex(s[i]) < 0 {
			return false
		}
	}
	return true
}
