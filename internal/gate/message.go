package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	mostBatch = 1000    // messages of a batch
	mostNamed = 10_000  // names and URIs in a body
	mostName  = 8 << 10 // bytes of one
)

// message is what the body of a POST says.
type message struct {
	raw   []byte            // as it was sent
	ids   []json.RawMessage // of its requests, in order
	batch bool
	calls []call // in order; nil of one that has not been judged
}

// call is one message, and what it asks for by name.
type call struct {
	jsonrpc.Message
	about []subject
	why   string // it is denied; "" if it is not
}

// subject is a tool, resource or prompt.
type subject struct {
	kind Kind
	name string
}

// legible reports whether there is a message that could be read: on a plain route
// the body of a POST need not be one.
func (m *message) legible() bool { return m != nil && len(m.calls) > 0 }

// begins reports whether the message is an initialize.
func (m *message) begins() bool {
	return m != nil && len(m.calls) == 1 && m.calls[0].Kind == jsonrpc.Request && m.calls[0].Method == "initialize"
}

// The texts say nothing of the message but names that the client knows.
var (
	errBatch  = errors.New("a batch has between 1 and 1000 messages, none of which is a batch")
	errFolded = errors.New("a name in it is one of JSON-RPC or MCP but for its case, or for what cannot be seen around it")
	errParams = errors.New("its params do not say, in the one way that every reader reads alike, what they are about")
	errName   = errors.New("the name or URI in it is too long, or has characters that none has")
	errNamed  = errors.New("it names more than 10000 resources")
	errMethod = errors.New("its method is one of MCP but for its case, or for space around it")
)

// parse reads a body. It returns what is known of it beside an error, too, so
// that its requests get their answers.
func parse(raw []byte) (*message, error) {
	first, err := jsonrpc.Parse(raw)
	if err != nil {
		return nil, err
	}
	m := &message{raw: raw, batch: first.Kind == jsonrpc.Batch}
	all := []jsonrpc.Message{first}
	if m.batch {
		if all, err = elements(raw); err != nil {
			return nil, err
		}
	}
	for _, one := range all {
		m.calls = append(m.calls, call{Message: one})
		if one.Kind == jsonrpc.Request {
			m.ids = append(m.ids, one.ID)
		}
	}
	named := 0
	for i := range m.calls {
		if err := m.calls[i].read(); err != nil {
			return m, err
		}
		if named += len(m.calls[i].about); named > mostNamed {
			return m, errNamed
		}
	}
	return m, nil
}

// elements returns the messages of a batch. They are counted before they are
// read.
func elements(batch []byte) (all []jsonrpc.Message, err error) {
	bodies, err := jsonrpc.Elements(batch, mostBatch)
	if err != nil || len(bodies) == 0 {
		return nil, errBatch
	}
	for _, b := range bodies {
		one, err := jsonrpc.Parse(b)
		if err != nil {
			return nil, err
		}
		if one.Kind == jsonrpc.Batch {
			return nil, errBatch
		}
		all = append(all, one)
	}
	return all, nil
}

// read finds out what the message is about. Some servers read names whatever
// their case is: what is another message to them is none that may pass.
func (c *call) read() (err error) {
	if c.Folded {
		return errFolded
	}
	if c.Kind == jsonrpc.Response {
		return nil
	}
	if c.about, err = subjects(c.Method, c.Params); err != nil {
		return err
	}
	for _, s := range c.about {
		if len(s.name) > mostName || strings.ContainsFunc(s.name, nameless) || s.kind != Resource && hides(s.name) {
			return errName
		}
	}
	return nil
}

// nameless are characters that are read differently: one that ends a string for
// some, and the one that stands for what could not be decoded.
func nameless(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// hides reports whether the name of a tool or prompt has what cannot be seen at its
// ends or within, which careless servers leave out. Of URIs see [ambiguous].
func hides(name string) bool {
	return strings.TrimFunc(name, blank) != name || strings.ContainsFunc(name, func(r rune) bool { return unicode.Is(unicode.Cf, r) })
}
