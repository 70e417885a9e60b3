package stdio

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// The marks of a field's value that stands in base64, "Value Encoding" of
// "Streamable HTTP".
const (
	base64Mark = "=?base64?"
	base64End  = "?="
)

// fieldValue returns s as the value of a field. What is not plain goes in
// base64, so that neither a line break nor a space at an end is ever seen.
func fieldValue(s string) string {
	if isPlain(s) {
		return s
	}
	return base64Mark + base64.StdEncoding.EncodeToString([]byte(s)) + base64End
}

// isPlain reports whether every reader of a field finds s as it is. An empty
// value is taken by some for a field that is missing.
func isPlain(s string) bool {
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' || strings.HasPrefix(s, base64Mark) && strings.HasSuffix(s, base64End) {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// maxSafe is the largest integer that readers with floating point numbers have
// exactly.
const maxSafe = 1<<53 - 1

// primitiveText returns what a field says of a JSON value: strings as they are,
// integers in decimal, true and false. It is false of everything else.
func primitiveText(raw json.RawMessage) (string, bool) {
	switch {
	case len(raw) == 0:
		return "", false
	case raw[0] == '"':
		return jsonrpc.Text(raw)
	case string(raw) == "true", string(raw) == "false":
		return string(raw), true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > maxSafe {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}
