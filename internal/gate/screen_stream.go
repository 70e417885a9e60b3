package gate

import (
	"bytes"
	"io"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// screened is an event stream without what the caller may not see. An event
// goes on once it is whole; one without a list byte for byte.
type screened struct {
	io.Closer
	from io.Reader
	s    *sieve
	cut  eventstream.Splitter
	err  error // behind it

	parted bool // an event goes in pieces
	seen   watch
	out    []byte // not yet read
}

func newScreened(from io.ReadCloser, s *sieve) *screened {
	return &screened{Closer: from, from: from, s: s, cut: eventstream.Splitter{Limit: mostListed}}
}

// Read implements [io.Reader].
func (b *screened) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := b.from.Read(p)
		b.cut.Write(p[:n], b.emit)
		if err == io.EOF && b.err == nil {
			b.end()
		}
		if b.err == nil {
			b.err = err
		}
	}
	n := copy(p, b.out)
	if b.out = b.out[n:]; len(b.out) == 0 {
		b.out = nil // idle streams hold nothing
	}
	return n, nil
}

// emit takes one event. What follows one that may not be shown is not shown
// either: the client must not believe that it has seen all.
func (b *screened) emit(raw []byte, e eventstream.Event) {
	switch {
	case b.err != nil:
	case e.Part && b.s.lists, b.pieces(raw, e.Part):
		b.stop(hiddenLarge)
	case e.Part || !looksJSON(e.Data):
		b.out = append(b.out, raw...)
	default:
		shown, err := b.s.message(e.Data)
		switch {
		case err != nil:
			b.stop(err)
		case bytes.Equal(shown, e.Data):
			b.out = append(b.out, raw...)
		default:
			b.out = rewritten(b.out, raw, shown)
		}
	}
}

// pieces reports whether a list appears in an event that is too large to be held.
func (b *screened) pieces(raw []byte, part bool) bool {
	if part || b.parted {
		b.parted = part
		if b.seen.in(raw) {
			return true
		}
	}
	if !part {
		b.seen = watch{}
	}
	return false
}

func (b *screened) stop(err error) {
	b.err = err
	b.s.log.Warn("an event stream was ended: " + err.Error())
}

// end lets go of what stands behind the last event, if it can be read: some
// clients do not mind that the empty line is missing, and others drop it.
func (b *screened) end() {
	had := len(b.out)
	b.cut.Write([]byte("\n\n"), b.emit)
	if b.err != nil { // that added nothing
		b.err = nil
		return
	}
	b.out = b.out[:max(had, len(b.out)-2)]
}

// rewritten adds an event to b with other data. Every other line stays.
func rewritten(b, raw, data []byte) []byte {
	done := false
	for len(raw) > 0 {
		i := bytes.IndexAny(raw, "\r\n")
		end := i + 1
		if raw[i] == '\r' && end < len(raw) && raw[end] == '\n' {
			end++
		}
		line, eol := raw[:i], raw[i:end]
		if name, _, _ := bytes.Cut(line, []byte(":")); string(name) != "data" {
			b = append(b, raw[:end]...)
		} else if !done {
			done = true
			for part := range bytes.SplitSeq(data, []byte("\n")) {
				b = append(append(append(b, "data: "...), part...), eol...)
			}
		}
		raw = raw[end:]
	}
	return b
}
