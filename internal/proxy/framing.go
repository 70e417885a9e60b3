package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
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

	old, te, open bool   // not HTTP/1.1; Transfer-Encoding; CONNECT or Upgrade
	length        string // Content-Length, "" without one
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
			if err := f.next(p[i]); err != nil {
				return i, err
			}
			i++
		}
	}
	return len(p), nil
}

// next follows one byte of a line.
func (f *framing) next(b byte) error {
	if f.at == betweenRequests {
		if b == '\r' || b == '\n' {
			return nil // empty lines in front of a request mean nothing
		}
		*f = framing{at: requestLine, line: f.line[:0]}
	}
	if f.cr != (b == '\n') {
		return errFraming // a CR or a LF alone
	}
	f.cr = b == '\r'
	switch b {
	case '\r':
		return nil
	case '\n':
		err := f.endLine()
		f.line, f.tail = f.line[:0], [8]byte{}
		return err
	}
	if len(f.line) < keptLine {
		f.line = append(f.line, b)
	}
	copy(f.tail[:], f.tail[1:])
	f.tail[7] = b
	return nil
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
	name, value, _ := strings.Cut(string(f.line), ":")
	value = strings.Trim(value, " \t")
	switch strings.ToLower(name) {
	case "transfer-encoding":
		f.te = true
	case "upgrade":
		f.open = true
	case "content-length":
		_, err := strconv.ParseUint(value, 10, 63)
		if err != nil || len(f.line) == keptLine || f.length != "" && f.length != value {
			return errFraming
		}
		f.length = value
	}
	return nil
}

func (f *framing) endHeader() error {
	f.left = 0
	if f.length != "" {
		f.left, _ = strconv.ParseUint(f.length, 10, 63) // field has parsed it
	}
	switch {
	case f.te && (f.old || f.length != ""):
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
	size, _, _ := strings.Cut(string(f.line), ";")
	n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 63)
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
