// Package eventstream cuts a text/event-stream into whole events, as the HTML
// standard reads it ("Server-sent events", 9.2.6), without changing a byte: what
// is cut makes up the stream again. It holds no more of an event than its limit,
// and refuses none: a larger one goes on in pieces that say so.
package eventstream

import (
	"bytes"
	"strconv"
	"time"
)

// mostEvent is how many bytes of one event are held by a Splitter without Limit.
const mostEvent = 8 << 20

// mostSpare is the largest buffer that is kept while there is nothing in it.
const mostSpare = 4 << 10

var byteOrderMark = []byte("\xef\xbb\xbf")

// Event is what the fields of one event say, as the HTML standard reads them
// ("Server-sent events", 9.2.6). Its slices are valid during the call only.
type Event struct {
	Name     []byte
	Data     []byte // nil: there is none, and nothing is dispatched
	ID       []byte
	HasID    bool // an id may be empty: it resets the last one
	Retry    time.Duration
	HasRetry bool
	Part     bool // this is a piece of an event that was too large to hold, and not its last
	joined   bool // Data is of several lines, and not a part of what was read
}

// A Splitter cuts a text/event-stream into whole events. The zero value is ready
// for the beginning of a stream. It is not safe for concurrent use.
type Splitter struct {
	Limit int // bytes of one event that are held; 0: 8 MiB

	tail  []byte // of the input so far, what has not been emitted
	at    int    // where to look for the next end of a line, in tail
	line  int    // where the current line begins, in tail
	begun bool   // a byte order mark cannot come any more
	cr    bool   // the last byte was a CR that ended a line: an LF belongs to it
	loose bool   // within an event that is passed on in pieces
	mid   bool   // loose: within a line of which a part has been emitted
	early Event  // loose: the id and retry of the part that was held
}

// Write takes the next bytes of the stream and calls emit for each event that
// they complete, before it returns. All that is emitted makes up the stream,
// but for a byte order mark and an event that is not complete. A comment, or an
// empty line, between events is emitted by itself, with an event that is zero. What
// is emitted is valid during the call only; it may be in b.
func (p *Splitter) Write(b []byte, emit func(raw []byte, e Event)) {
	held := len(p.tail) > 0
	if held {
		p.tail = append(p.tail, b...)
		b = p.tail
	}
	if p.mark(&b) {
		b = p.lines(b, emit)
	}
	if p.loose || len(b) > p.most() {
		b = p.piece(b, emit)
	}
	switch {
	case held && len(b) == len(p.tail): // it is that
	case len(b) > 0:
		p.tail = append(p.tail[:0], b...)
	case cap(p.tail) > mostSpare:
		p.tail = nil
	default:
		p.tail = p.tail[:0]
	}
}

// Cut reports whether the stream would end within an event of which a part has
// been emitted.
func (p *Splitter) Cut() bool { return p.loose }

func (p *Splitter) most() int {
	if p.Limit == 0 {
		return mostEvent
	}
	return p.Limit
}

// mark removes a byte order mark at the beginning of the stream. It returns
// false while that cannot be told.
func (p *Splitter) mark(b *[]byte) bool {
	if !p.begun {
		if len(*b) < len(byteOrderMark) && bytes.HasPrefix(byteOrderMark, *b) {
			return false
		}
		p.begun = true
		*b = bytes.TrimPrefix(*b, byteOrderMark)
	}
	return true
}

// lines emits what is complete in b and returns the rest. Lines end with CR,
// LF or both; what a CR completes does not wait for the LF.
func (p *Splitter) lines(b []byte, emit func([]byte, Event)) []byte {
	for {
		if p.cr && p.at < len(b) {
			p.cr = false
			if b[p.at] == '\n' {
				b = p.feed(b, emit)
			}
		}
		i := bytes.IndexAny(b[p.at:], "\r\n")
		if i < 0 {
			p.at = len(b)
			return b
		}
		text, end := b[p.line:p.at+i], p.at+i+1
		if b[end-1] == '\r' {
			if p.cr = end == len(b); !p.cr && b[end] == '\n' {
				end++
			}
		}
		blank := len(text) == 0 && !p.mid
		comment := p.line == 0 && !p.loose && len(text) > 0 && text[0] == ':'
		p.at, p.line, p.mid = end, end, false
		if blank || comment {
			emit(b[:end], p.parse(b[:end]))
			b = p.rest(b, end)
			p.loose, p.early = false, Event{}
		}
	}
}

// feed takes the LF of a line whose CR has been seen before.
func (p *Splitter) feed(b []byte, emit func([]byte, Event)) []byte {
	if p.at > 0 {
		p.at, p.line = p.at+1, p.line+1
		return b
	}
	emit(b[:1], Event{Part: p.loose})
	return b[1:]
}

// rest returns b without its first n bytes, which have been emitted.
func (p *Splitter) rest(b []byte, n int) []byte {
	p.at, p.line = 0, 0
	return b[n:]
}

// piece emits the beginning, or more, of an event that is too large.
func (p *Splitter) piece(b []byte, emit func([]byte, Event)) []byte {
	if len(b) == 0 {
		return b
	}
	if !p.loose {
		e := parse(b[:p.line]) // the lines that are complete
		p.early = Event{HasID: e.HasID, ID: bytes.Clone(e.ID), Retry: e.Retry, HasRetry: e.HasRetry}
	}
	p.mid = p.mid || p.line < len(b)
	p.loose = true
	emit(b, Event{Part: true})
	return p.rest(b, len(b))
}

// parse reads an event that is complete. Of one that went in pieces it knows
// what preceded the limit.
func (p *Splitter) parse(raw []byte) Event {
	if p.loose {
		return p.early
	}
	return parse(raw)
}

func parse(raw []byte) (e Event) {
	for len(raw) > 0 {
		n := bytes.IndexAny(raw, "\r\n")
		name, value, found := bytes.Cut(raw[:n], []byte(":"))
		if !found {
			value = raw[n:n] // empty, not nil
		}
		e.field(string(name), bytes.TrimPrefix(value, []byte(" ")))
		raw = raw[n+1:]
	}
	return e
}

// field adds a field. What has no name is a comment, or nothing.
func (e *Event) field(name string, value []byte) {
	switch name {
	case "event":
		e.Name = value
	case "data":
		e.line(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			e.ID, e.HasID = value, true
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			e.Retry, e.HasRetry = time.Duration(ms)*time.Millisecond, true
		}
	}
}

// line adds a line of data.
func (e *Event) line(value []byte) {
	switch {
	case e.Data == nil:
		e.Data = value
		return
	case !e.joined:
		e.Data, e.joined = bytes.Clone(e.Data), true
	}
	e.Data = append(append(e.Data, '\n'), value...)
}
