package stdio

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// ofSession returns what the client is told where r, which answers a request with the
// header h, says that its session is not there: who keeps sessions for the bridge
// could not mend that. Any other r it returns as it is.
func ofSession(r *refusal, h http.Header) error {
	if len(h[headerSession]) == 0 || !r.isLoss() {
		return r
	}
	f := ours("the server has lost the session, and another could not be begun in its place: %s. Hint: if that stays so, restart the server in the client", r.line())
	f.data, f.err = r.problem(), r
	return f
}

// isLoss reports whether r is the 404 of the specification, or speaks of the
// session. A server's own error about something else stays that.
func (r *refusal) isLoss() bool {
	if r.status != http.StatusNotFound && r.status != http.StatusBadRequest {
		return false
	}
	said := bytes.TrimPrefix(r.body, byteOrderMark)
	if members, err := jsonrpc.Object(said); err == nil && members["error"] != nil {
		said = members["error"]
	} else if r.status == http.StatusNotFound {
		return true
	}
	text := strings.ToLower(string(said))
	return strings.Contains(text, "session") || strings.Contains(text, "not initialized")
}
