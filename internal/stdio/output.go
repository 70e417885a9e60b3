package stdio

import (
	"bytes"
	"io"
)

// mostSpare is the largest buffer that is kept between two messages.
const mostSpare = 1 << 20

// output writes messages, one in a line and each in one Write. Its goroutine is
// the one in run: whoever waits for a Write that does not return is let go by
// closing.
type output struct {
	w       io.Writer
	turn    chan struct{} // whoever has taken from it may use the buffer
	full    chan []byte
	written chan struct{}
	closing chan struct{} // closed when nothing is waited for any more
	failed  chan struct{} // closed after err was set
	over    chan struct{} // closed when run is
	err     error

	spare []byte // belongs to whoever has the turn
}

func newOutput(w io.Writer) *output {
	o := &output{
		w: w, turn: make(chan struct{}, 1),
		full: make(chan []byte), written: make(chan struct{}),
		closing: make(chan struct{}), failed: make(chan struct{}), over: make(chan struct{}),
	}
	o.turn <- struct{}{}
	return o
}

// run writes until closing.
func (o *output) run() {
	defer close(o.over)
	for {
		select {
		case <-o.closing:
			return
		case b := <-o.full:
			if _, err := o.w.Write(b); err != nil {
				o.err = err
				close(o.failed)
				return
			}
		}
		select {
		case <-o.closing:
			return
		case o.written <- struct{}{}:
		}
	}
}

// write writes a message, valid JSON, and returns once that is done or will
// not be. It keeps nothing of b.
func (o *output) write(b []byte) {
	select {
	case <-o.turn:
	case <-o.failed:
		return
	case <-o.closing:
		return
	}
	line := append(o.spare[:0], b...)
	if bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 { // only between its tokens
		for i, c := range line {
			if c == '\r' || c == '\n' {
				line[i] = ' '
			}
		}
	}
	line = append(line, '\n')
	if o.spare = line; cap(line) > mostSpare {
		o.spare = nil
	}
	select {
	case o.full <- line:
	case <-o.failed:
		return
	case <-o.closing:
		return
	}
	select {
	case <-o.written: // else the buffer is still the Write's, and nobody has a turn again
		o.turn <- struct{}{}
	case <-o.failed:
	case <-o.closing:
	}
}

// close lets everybody go who waits for a Write, and lets nobody in.
func (o *output) close() { close(o.closing) }

// wait waits for run, unless that is in a Write that may never return. Nobody
// writes any more.
func (o *output) wait() {
	select {
	case <-o.turn:
		<-o.over
	case <-o.failed:
		<-o.over
	default:
	}
}
