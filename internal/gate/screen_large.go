package gate

import (
	"encoding/json"
	"io"
	"strings"
)

// watched is an answer that is too large to be held. It breaks off where a list
// appears.
type watched struct {
	from  io.Reader
	lists watch
	err   error
}

// Read implements [io.Reader].
func (w *watched) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.from.Read(p)
	if w.lists.in(p[:n]) {
		n, err = 0, hiddenLarge
	}
	w.err = err
	return n, err
}

// mostMember is how much of a name is looked at: the longest that matters, with
// each character escaped, has less.
const mostMember = 128

// watch looks for a list in JSON as it goes by: for a member of a result, or of one
// of a batch of them, that has the name of a list. It minds only what stands in
// strings and how deep it is, and so reads JSON in the lines of an event, too. The
// zero watch is at the beginning.
type watch struct {
	depth    int
	array    [4]bool // the first levels that are arrays
	name     bool    // a string that begins here is the name of a member
	text     bool    // within a string
	escaped  bool    // behind a backslash in it
	member   []byte  // that name as it is written; nil: another string
	result   bool    // the last name was that of a result
	inResult int     // the depth of a result's members; 0: outside
}

// in reports whether a list has appeared by the end of b.
func (w *watch) in(b []byte) bool {
	for _, c := range b {
		if w.text {
			if w.string(c) {
				return true
			}
			continue
		}
		w.between(c)
	}
	return false
}

// string takes a character within a string.
func (w *watch) string(c byte) (list bool) {
	if c == '"' && !w.escaped {
		w.text = false
		list = w.member != nil && w.named()
		w.member = nil
		return list
	}
	w.escaped = c == '\\' && !w.escaped
	if w.member != nil && len(w.member) < mostMember {
		w.member = append(w.member, c)
	}
	return false
}

// named takes the name of a member. One that only readers that fold case take for
// that of a list is one, too.
func (w *watch) named() (list bool) {
	var name string
	if json.Unmarshal([]byte(`"`+string(w.member)+`"`), &name) != nil {
		return false
	}
	if w.depth == w.inResult {
		for _, l := range shelves() {
			list = list || strings.EqualFold(name, l.member)
		}
		return list
	}
	w.result = strings.EqualFold(name, "result") && (w.depth == 1 || w.depth == 2 && w.array[1])
	return false
}

// between takes a character between strings.
func (w *watch) between(c byte) {
	switch c {
	case '"':
		w.text, w.escaped = true, false
		if w.name && w.depth <= 3 {
			w.member = make([]byte, 0, mostMember)
		}
		w.name = false
	case '{', '[':
		w.depth++
		if w.depth < len(w.array) {
			w.array[w.depth] = c == '['
		}
		if w.result && c == '{' {
			w.inResult = w.depth
		}
		w.name, w.result = c == '{', false
	case '}', ']':
		if w.depth == w.inResult {
			w.inResult = 0
		}
		w.depth, w.name = max(w.depth-1, 0), false
	case ',':
		w.name, w.result = w.depth < len(w.array) && !w.array[w.depth], false
	}
}
