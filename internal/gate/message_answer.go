package gate

import (
	"cmp"

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
	lines := m.lines(said{a.line(), cmp.Or(a.code, codeDenied)})
	var all []byte
	for i, id := range m.ids {
		if all != nil {
			all = append(all, ',')
		}
		all = append(all, jsonrpc.ErrorBody(id, lines[i].code, lines[i].text, d)...)
	}
	if m.batch {
		all = append(append([]byte{'['}, all...), ']')
	}
	return all, true
}

// said is an error without what it answers.
type said struct {
	text string
	code int
}

// lines are what is said of each request: why it is denied, if that is known of
// some, else the same of all.
func (m *message) lines(same said) []said {
	lines := make([]said, 0, len(m.ids))
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
			lines = append(lines, said{notDone, codeDenied})
		default:
			lines = append(lines, said{c.why, c.code()})
		}
	}
	for len(lines) < len(m.ids) { // one that has only been glanced at
		lines = append(lines, same)
	}
	return lines
}
