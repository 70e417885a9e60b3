package stdio

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// keyOf returns what is the same for every way to write an id, or a progress
// token: 1, 1.0 and 1e0 are one number, "a" and "\u0061" one string.
func keyOf(id json.RawMessage) string {
	s, ok := jsonrpc.Text(id)
	switch {
	case !ok:
		return numberKey(string(id))
	case strings.ContainsRune(s, '\ufffd'): // may stand for halves of characters, which differ
		return "r" + string(id)
	}
	return "s" + s
}

// keyIn returns the key of a member of params, "" if there is none.
func keyIn(params json.RawMessage, name string) string {
	members, err := jsonrpc.Object(params)
	if err != nil || !isID(members[name]) {
		return ""
	}
	return keyOf(members[name])
}

// isID reports whether raw, which is valid JSON or nothing, is a string or a number.
func isID(raw json.RawMessage) bool {
	return len(raw) > 0 && (raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

// numberKey writes a number of JSON as digits without a zero at either end and
// the power of ten that they are multiplied by.
func numberKey(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	power := int64(0)
	if at := strings.IndexAny(digits, "eE"); at >= 0 {
		var err error
		if power, err = strconv.ParseInt(digits[at+1:], 10, 32); err != nil {
			return "r" + s
		}
		digits = digits[:at]
	}
	if whole, fraction, ok := strings.Cut(digits, "."); ok {
		digits, power = whole+fraction, power-int64(len(fraction))
	}
	digits = strings.TrimLeft(digits, "0")
	all := len(digits)
	digits = strings.TrimRight(digits, "0")
	if digits == "" {
		return "n0"
	}
	if power += int64(all - len(digits)); negative {
		digits = "-" + digits
	}
	return "n" + digits + "e" + strconv.FormatInt(power, 10)
}
