package gate

import "bytes"

// streamMark is a byte order mark. One at the beginning of a stream means nothing.
var streamMark = []byte("\xef\xbb\xbf")

// place is where a text/event-stream is, as the HTML standard reads it
// ("Server-sent events", 9.2.6). The zero value is at its beginning.
type place struct {
	begun  bool   // a byte order mark cannot come any more
	held   []byte // what may be the beginning of one
	field  bool   // within an event: a line of it has been said
	line   bool   // within a line
	remark bool   // that line is a comment
	cr     bool   // the last byte was a CR: an LF belongs to it, or, behind a comment, is a blank line more
}

// between reports whether nothing has been said of an event that is not complete,
// so that a comment disturbs nobody.
func (p *place) between() bool { return !p.field && !p.line && len(p.held) == 0 }

// pass returns what goes on of b, the next bytes, and notes where that leads. last
// says that nothing follows. A byte order mark is taken off: behind a comment it
// would be part of a name. What it returns may share memory with b.
func (p *place) pass(b []byte, last bool) []byte {
	if !p.begun {
		if p.held = append(p.held, b...); !last && len(p.held) < len(streamMark) && bytes.HasPrefix(streamMark, p.held) {
			return nil
		}
		b = bytes.TrimPrefix(p.held, streamMark)
		p.begun, p.held = true, nil
	}
	p.note(b)
	return b
}

// note follows b, line by line.
func (p *place) note(b []byte) {
	for len(b) > 0 {
		if p.cr {
			if p.cr = false; b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		if !p.line {
			p.remark = b[0] == ':'
		}
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			p.line = true
			return
		}
		p.end(i == 0 && !p.line)
		p.cr = b[i] == '\r'
		b = b[i+1:]
	}
}

// end notes the end of a line. A blank one ends an event.
func (p *place) end(blank bool) {
	switch {
	case blank:
		p.field = false
	case !p.remark:
		p.field = true
	}
	p.line = false
}
