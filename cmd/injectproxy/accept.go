package main

import (
	"net/http"
	"strconv"
	"strings"
)

// readsJSON reports whether who sent h reads an answer of type
// application/json. An Accept that says so by application/json or
// application/* does; one that leaves everything open does not, nor one that is
// missing: so does an MCP client of the older HTTP+SSE transport, which takes
// the status of an answer to its message and waits for the rest elsewhere. One
// of Streamable HTTP has to name application/json (MCP 2025-11-25, "Sending
// Messages to the Server").
func readsJSON(h http.Header) bool {
	exact, some := -1.0, -1.0 // the weights; -1 where it is not named
	for _, element := range acceptElements(h.Values("Accept")) {
		name, parameters, _ := strings.Cut(element, ";")
		switch w := weight(parameters); strings.ToLower(strings.TrimSpace(name)) {
		case "application/json":
			exact = max(exact, w)
		case "application/*":
			some = max(some, w)
		}
	}
	if exact >= 0 { // the more specific one counts
		return exact > 0
	}
	return some > 0
}

// acceptElements splits lists at their commas, save those in a quoted string
// (RFC 9110, section 5.6.1).
func acceptElements(lists []string) (elements []string) {
	for _, list := range lists {
		elements = append(elements, unquotedFields(list, ',')...)
	}
	return elements
}

// weight is what parameters of a media range say how much it is wanted (RFC
// 9110, section 12.4.2): 1 if they say nothing, and -1 if what they say is none.
func weight(parameters string) float64 {
	for _, p := range unquotedFields(parameters, ';') {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return -1
		}
		return q
	}
	return 1
}

// unquotedFields splits s at each separator that is not in a quoted string
// (RFC 9110, section 5.6.4).
func unquotedFields(s string, separator byte) (fields []string) {
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == separator && !quoted:
			fields = append(fields, s[start:i])
			start = i + 1
		}
	}
	return append(fields, s[start:])
}
