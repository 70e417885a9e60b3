package stdio

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// mostDepth is how deep a message may be nested, as encoding/json has it.
const mostDepth = 10_000

// mostSeen is how much a glance keeps of a name or of an id.
const mostSeen = 4 << 10

// A glance is what can be told in passing, and in bounded memory, of an object
// that will not be read as a message: whether it looks like a request, and of
// which id. The zero value is ready for the first byte.
type glance struct {
	depth, deepest  int
	quoted, escaped bool
	value           bool   // behind the colon of a member
	name, seen      []byte // of the member; what has been seen of its name or value
	over, broken    bool   // behind the end of the object; it is none

	ids, methods, outcomes int // members of those names
	id                     []byte
}

// see takes the next bytes.
func (g *glance) see(b []byte) {
	for len(b) > 0 {
		if g.quoted && !g.escaped && (g.depth > 1 || len(g.seen) > mostSeen) { // nothing of it is kept
			at := bytes.IndexAny(b, `"\`)
			if at < 0 {
				return
			}
			b = b[at:]
		}
		g.one(b[0])
		b = b[1:]
	}
}

func (g *glance) one(c byte) {
	switch {
	case g.quoted:
		g.keep(c)
		switch {
		case g.escaped:
			g.escaped = false
		case c == '\\':
			g.escaped = true
		case c == '"':
			g.quoted = false
		}
		return
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		if len(g.seen) > 0 {
			g.keep(c)
		}
		return
	case g.over, g.depth == 0 && c != '{':
		g.broken = true
		return
	}
	switch c {
	case '"':
		g.quoted = true
		g.keep(c)
	case '{', '[':
		g.keep(c)
		g.depth++
		g.deepest = max(g.deepest, g.depth)
	case '}', ']':
		if g.depth == 1 {
			g.member()
			g.over = true
		}
		g.depth--
		g.keep(c)
	case ':':
		if g.depth == 1 {
			g.broken = g.broken || g.value
			g.name, g.seen, g.value = g.seen, nil, true
		}
	case ',':
		if g.depth == 1 {
			g.member()
			return
		}
		g.keep(c)
	default:
		g.keep(c)
	}
}

// keep keeps c if it is of a name or a value of the object itself, and one byte
// of more than it keeps.
func (g *glance) keep(c byte) {
	if g.depth == 1 && len(g.seen) <= mostSeen {
		g.seen = append(g.seen, c)
	}
}

// member takes note of the member that has ended.
func (g *glance) member() {
	var name string
	if g.value && json.Unmarshal(g.name, &name) == nil {
		switch name {
		case "id":
			g.ids++
			g.id = bytes.TrimRight(g.seen, " \t\r\n")
		case "method":
			g.methods++
		case "result", "error":
			g.outcomes++
		}
	}
	g.name, g.seen, g.value = nil, nil, false
}

// request returns the id to answer what was seen with, if that is one object
// that has exactly one id, and is no response.
func (g *glance) request() (id json.RawMessage, ok bool) {
	return g.id, g.whole() && (g.methods > 0 || g.outcomes == 0)
}

// response returns the id that what was seen answers, likewise.
func (g *glance) response() (id json.RawMessage, ok bool) {
	return g.id, g.whole() && g.methods == 0 && g.outcomes > 0
}

func (g *glance) whole() bool {
	return g.over && !g.broken && g.ids == 1 && len(g.id) <= mostSeen && utf8.Valid(g.id) && json.Valid(g.id) && isID(g.id)
}

// glanceAt glances at b.
func glanceAt(b []byte) *glance {
	g := &glance{}
	g.see(b)
	return g
}
