package stdio

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// mostMessage is how many bytes of one message are held.
const mostMessage = 64 << 20

var byteOrderMark = []byte("\xef\xbb\xbf")

// lines reads what one line holds each, ended by LF or CRLF or the end of input.
type lines struct {
	r     *bufio.Reader
	most  int // bytes of a line
	begun bool
}

func newLines(r io.Reader, most int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), most: most}
}

// next returns the next line that is not blank, which is the caller's. Of one
// that is too long it returns what was seen of it in passing. An error is what is
// wrong with the input, or [io.EOF].
func (l *lines) next() (line []byte, tooLong *glance, err error) {
	for {
		line, tooLong, err = l.line()
		if !l.begun {
			l.begun = true
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if line = bytes.Trim(line, " \t\r\n"); len(line) > 0 || tooLong != nil {
			if errors.Is(err, io.EOF) { // comes again with the next one
				err = nil
			}
			return line, tooLong, err
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func (l *lines) line() (line []byte, tooLong *glance, err error) {
	for {
		piece, err := l.r.ReadSlice('\n')
		if len(line)+len(piece) > l.most && tooLong == nil {
			tooLong = &glance{}
			tooLong.see(line)
			line = nil
		}
		if tooLong != nil {
			tooLong.see(piece)
		} else {
			line = append(line, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}
