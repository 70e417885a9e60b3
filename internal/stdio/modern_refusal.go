package stdio

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// modernRefusal reports whether r, which refuses an initialize, is how a server
// refuses it that is modern only.
func modernRefusal(r *refusal) bool {
	switch code := errorOf(r.body).code; r.status {
	case http.StatusBadRequest:
		return code == codeVersion || code == codeMismatch || code == codeCapability || code == codeParams
	case http.StatusNotFound:
		return code == codeNoMethod
	}
	return false
}

// legacyRefusal reports whether err, which ends a modern request, is how a
// server refuses that which knows nothing of such.
func legacyRefusal(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	e := errorOf(r.body)
	switch r.status {
	case http.StatusBadRequest:
		if e.code == codeVersion {
			return onlyLegacy(e.data)
		}
		return e.code != codeMismatch && e.code != codeCapability && e.code != codeParams
	case http.StatusNotFound:
		return e.code != codeNoMethod
	case http.StatusMethodNotAllowed:
		return true
	}
	return false
}

// answeredCall reports whether a refusal is the server's answer to a tool's call
// itself. What the server had begun is not sent again in another form.
func answeredCall(err error, c *call) bool {
	var r *refusal
	if c.Method != "tools/call" || !errors.As(err, &r) {
		return false
	}
	m, err := jsonrpc.Parse(r.body)
	return err == nil && m.Kind == jsonrpc.Response && m.ID != nil && keyOf(m.ID) == keyOf(c.ID) && errorOf(r.body).code != codeVersion
}

// onlyLegacy reports whether the data of an unsupported version names others, of
// which none is modern.
func onlyLegacy(data json.RawMessage) bool {
	var versions struct {
		Supported []string `json:"supported"`
	}
	if json.Unmarshal(data, &versions) != nil {
		return false
	}
	for _, v := range versions.Supported {
		if v >= firstSessionless {
			return false
		}
	}
	return len(versions.Supported) > 0
}
