package proxy

import (
	"strconv"
	"strings"
)

// lenient is a reader of HTTP/1 that takes what it can get, as somebody's
// server does: the one for whom requests are smuggled. Each of its choices is
// one that real servers have made.
type lenient struct {
	bareCR     bool // a CR alone ends a line, too
	lengthRule bool // Content-Length beats Transfer-Encoding
	firstRule  bool // of two lengths the first counts
	exactName  bool // a field's name must be exact, and its coding too
}

// lenients are all of them.
var lenients = func() (all []lenient) {
	for i := range 16 {
		all = append(all, lenient{i&1 > 0, i&2 > 0, i&4 > 0, i&8 > 0})
	}
	return all
}()

// targets returns those of all requests that l sees in s.
func (l lenient) targets(s string) (list []string) {
	for len(list) < 50 {
		s = strings.TrimLeft(s, "\r\n")
		line, rest, ok := l.line(s)
		if !ok {
			return list
		}
		if words := strings.Fields(line); len(words) > 1 {
			list = append(list, words[1])
		}
		s = l.rest(rest)
	}
	return list
}

func (l lenient) line(s string) (line, rest string, ok bool) {
	ends := "\n"
	if l.bareCR {
		ends = "\r\n"
	}
	i := strings.IndexAny(s, ends)
	if i < 0 {
		return s, "", false
	}
	line, rest = s[:i], s[i+1:]
	if s[i] == '\r' {
		rest = strings.TrimPrefix(rest, "\n")
	}
	return strings.TrimSuffix(line, "\r"), rest, true
}

// rest returns what l sees behind the request whose header begins s.
func (l lenient) rest(s string) string {
	length, chunked, name := -1, false, ""
	for {
		line, rest, ok := l.line(s)
		s = rest
		if line == "" || !ok {
			break
		}
		value := line // the continuation of a folded field
		if line[0] != ' ' && line[0] != '\t' || !l.exactName {
			name, value, _ = strings.Cut(line, ":")
		}
		switch l.name(name) {
		case "content-length":
			if n, ok := number(value, 10); ok && (length < 0 || !l.firstRule) {
				length = n
			}
		case "transfer-encoding":
			chunked = chunked || l.chunked(value)
		}
	}
	switch {
	case chunked && (length < 0 || !l.lengthRule):
		return l.behindChunks(s)
	case length > 0:
		return s[min(length, len(s)):]
	}
	return s
}

func (l lenient) name(s string) string {
	s = strings.ToLower(s)
	if !l.exactName {
		s = strings.TrimFunc(s, func(c rune) bool { return c <= ' ' })
	}
	return s
}

func (l lenient) chunked(value string) bool {
	value = strings.ToLower(value)
	if l.exactName {
		return strings.Trim(value, " \t") == "chunked"
	}
	return strings.Contains(value, "chunked")
}

func (l lenient) behindChunks(s string) string {
	for {
		line, rest, ok := l.line(s)
		size, isNumber := number(line, 16)
		if !ok || !isNumber {
			return rest
		}
		if size == 0 {
			for line != "" && ok {
				line, rest, ok = l.line(rest)
			}
			return rest
		}
		if size > len(rest) {
			return ""
		}
		_, s, _ = l.line(rest[size:])
	}
}

// number reads the digits that s begins with, as atoi and strtol do.
func number(s string, base int) (int, bool) {
	s = strings.TrimLeft(s, " \t\v\f+\"")
	end := 0
	for end < len(s) && end < 15 {
		if _, err := strconv.ParseUint(s[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	n, err := strconv.ParseUint(s[:end], base, 62)
	return int(n), err == nil
}
