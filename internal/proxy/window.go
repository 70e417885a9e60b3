package proxy

import (
	"io"
	"sync"
)

const (
	smallWindow = 2 << 10
	largeWindow = 32 << 10
)

// window is the buffer of one direction of a stream. It is large only while
// much arrives: a stream that is silent, as most are most of the time, holds
// next to nothing. Its zero value is ready for use.
type window struct {
	small [smallWindow]byte
	large *[largeWindow]byte // nil while little arrives
}

var largeWindows = sync.Pool{New: func() any { return new([largeWindow]byte) }}

// begin returns the buffer for the first read of a stream of so many bytes, -1
// where nobody knows.
func (w *window) begin(length int64) []byte {
	if length > smallWindow {
		w.large = largeWindows.Get().(*[largeWindow]byte)
	}
	return w.buffer()
}

func (w *window) buffer() []byte {
	if w.large != nil {
		return w.large[:]
	}
	return w.small[:]
}

// fit returns the buffer for the next read, the last one having brought n
// bytes. What it returned before must not be used any more.
func (w *window) fit(n int) []byte {
	if w.large == nil && n == smallWindow {
		w.large = largeWindows.Get().(*[largeWindow]byte)
	} else if w.large != nil && n <= smallWindow/2 {
		w.release()
	}
	return w.buffer()
}

// release gives the large buffer back, for others to use.
func (w *window) release() {
	if w.large != nil {
		largeWindows.Put(w.large)
		w.large = nil
	}
}

// pump copies src to dst until src ends, and passes its end on. Without a way
// to do so the error is [errNoHalfClose]: the other direction is over, too.
func pump(dst io.Writer, src io.Reader) error {
	var w window
	defer w.release()
	for buf := w.begin(-1); ; {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return endWrite(dst)
		}
		if err != nil {
			return err
		}
		buf = w.fit(n)
	}
}
