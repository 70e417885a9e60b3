package gate

import (
	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// notDone is what is said of the rest of a batch.
const notDone = "Not carried out, because another message of the batch is denied"

// errors returns what answers the requests of a message with an error each:
// nothing, and false, if there are none.
func (m *message) errors(a answer, d document) ([]byte, bool) {
	if m == nil || len(m.ids) == 0 {
		return nil, false
	}
	if a.code == 0 {
		a.code = codeDenied
	}
	lines := m.lines(a.line())
	var all []byte
	for i, id := range m.ids {
		if all != nil {
			all = append(all, ',')
		}
		all = append(all, jsonrpc.ErrorBody(id, a.code, lines[i], d)...)
	}
	if m.batch {
		all = append(append([]byte{'['}, all...), ']')
	}
	return all, true
}

// lines are what is said of each request: why it is denied, if that is known of
// some, else the same of all.
func (m *message) lines(same string) []string {
	lines := make([]string, 0, len(m.ids))
	judged := false
	for _, c := range m.calls {
		judged = judged || c.why != ""
	}
	for _, c := range m.calls {
		switch {
		case c.Kind != jsonrpc.Request:
		case !judged:
			lines = append(lines, same)
		case c.why == "":
			lines = append(lines, notDone)
		default:
			lines = append(lines, c.why)
		}
	}
	for len(lines) < len(m.ids) { // one that has only been glanced at
		lines = append(lines, same)
	}
	return lines
}
