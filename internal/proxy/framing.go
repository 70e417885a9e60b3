package proxy

import (
	"bytes"
	"errors"
	"strconv"
)

// framing follows the requests of an HTTP/1 connection on their way to
// net/http, and finds those whose end two implementations could see in
// different places: the material of request smuggling (RFC 9112, section
// 11.2). net/http reads such a message in one way of its own and forgets that
// there was another: a Content-Length beside Transfer-Encoding, or
// Transfer-Encoding in HTTP/1.0, is gone before a handler runs, and a bare LF
// ends a line.
//
// It decides nothing else. What it cannot delimit, it leaves to net/http:
// everything behind a CONNECT or an Upgrade, whose sender must not be allowed
// a second request on the same connection.
type framing struct {
	at   place
	left uint64 // bytes of body or chunk still to come

	line []byte  // the current line, as far as it matters
	tail [8]byte // its last bytes
	cr   bool    // the last byte was a CR

	old, te, open bool // not HTTP/1.1; Transfer-Encoding; CONNECT or Upgrade
	digits        int  // of Content-Length, 0 without one
}

type place int

const (
	betweenRequests place = iota
	requestLine
	fieldLine
	fixedBody
	chunkLine
	chunkData
	chunkEnd
	trailerLine
	beyond // not followed any more
)

// keptLine is enough for any field that framing looks at.
const keptLine = 64

var errFraming = errors.New("ambiguous framing")

// pass follows p and returns how much of it may be read: all, or with an
// error what comes before the byte that makes the request ambiguous.
func (f *framing) pass(p []byte) (int, error) {
	for i := 0; i < len(p); {
		switch f.at {
		case beyond:
			return len(p), nil
		case betweenRequests:
			if p[i] == '\r' || p[i] == '\n' {
				i++ // empty lines in front of a request mean nothing
				continue
			}
			*f = framing{at: requestLine, line: f.line[:0]}
		case fixedBody, chunkData:
			n := min(uint64(len(p)-i), f.left)
			i += int(n)
			if f.left -= n; f.left > 0 {
				continue
			}
			if f.at == fixedBody {
				f.at = betweenRequests
			} else {
				f.at = chunkEnd
			}
		default:
			n, err := f.follow(p[i:])
			i += n
			if err != nil {
				return i, err
			}
		}
	}
	return len(p), nil
}

// follow takes what p has of the current line, at least a byte, and returns
// how much that is, or with an error what comes before the byte at fault.
func (f *framing) follow(p []byte) (int, error) {
	if f.cr && p[0] != '\n' {
		return 0, errFraming // a CR alone
	}
	lf := bytes.IndexByte(p, '\n')
	part := p
	if lf >= 0 {
		part = p[:lf]
	}
	if cr := bytes.IndexByte(part, '\r'); cr >= 0 {
		if cr < len(part)-1 {
			return cr + 1, errFraming // likewise
		}
		part, f.cr = part[:cr], true
	}
	f.keep(part)
	if lf < 0 {
		return len(p), nil
	}
	if !f.cr {
		return lf, errFraming // a LF alone
	}
	f.cr = false
	err := f.endLine()
	f.line, f.tail = f.line[:0], [8]byte{}
	if err != nil {
		return lf, err
	}
	return lf + 1, nil
}

// keep takes note of a part of the current line.
func (f *framing) keep(part []byte) {
	f.line = append(f.line, part[:min(len(part), keptLine-len(f.line))]...)
	last := part[max(0, len(part)-len(f.tail)):]
	copy(f.tail[:], f.tail[len(last):])
	copy(f.tail[len(f.tail)-len(last):], last)
}

func (f *framing) endLine() error {
	switch f.at {
	case requestLine:
		f.at = fieldLine
		f.old = string(f.tail[:]) != "HTTP/1.1"
		f.open = bytes.HasPrefix(f.line, []byte("CONNECT "))
	case fieldLine:
		if len(f.line) == 0 {
			return f.endHeader()
		}
		return f.field()
	case chunkLine:
		return f.chunk()
	case chunkEnd:
		if len(f.line) > 0 {
			return errFraming
		}
		f.at = chunkLine
	case trailerLine:
		if len(f.line) == 0 {
			f.at = betweenRequests
		}
	}
	return nil
}

// field takes note of a field that has to do with the request's end. The
// continuation of a folded one begins with a blank and is none of them.
func (f *framing) field() error {
	name, value, _ := bytes.Cut(f.line, []byte(":"))
	switch {
	case is(name, "transfer-encoding"):
		f.te = true
	case is(name, "upgrade"):
		f.open = true
	case is(name, "content-length"):
		value = bytes.Trim(value, " \t")
		n, err := strconv.ParseUint(string(value), 10, 63)
		again := f.digits > 0 && (f.digits != len(value) || f.left != n)
		if err != nil || len(f.line) == keptLine || again {
			return errFraming
		}
		f.left, f.digits = n, len(value)
	}
	return nil
}

// is reports whether a field has that name, whatever its case. The length
// keeps EqualFold to ASCII.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

func (f *framing) endHeader() error {
	switch {
	case f.te && (f.old || f.digits > 0):
		return errFraming
	case f.open:
		f.at = beyond
	case f.te:
		f.at = chunkLine
	case f.left > 0:
		f.at = fixedBody
	default:
		f.at = betweenRequests
	}
	return nil
}

// chunk reads a chunk's size (RFC 9112, section 7.1); extensions mean nothing
// to anybody.
func (f *framing) chunk() error {
	size, _, _ := bytes.Cut(f.line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimRight(size, " \t")), 16, 63)
	switch {
	case err != nil:
		return errFraming
	case n == 0:
		f.at = trailerLine
	default:
		f.at, f.left = chunkData, n
	}
	return nil
}
