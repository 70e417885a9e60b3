package replay

// tee is the part of a body that is held: a queue of chunks, filled at one end
// and freed at the other. Its owner locks.
type tee struct {
	memory *Budget
	chunks []chunk
	first  [1]chunk // of a small body all there are
	spare  []byte   // an uncounted chunk to use again
	start  int64    // offset of the first chunk's first byte in the body
	end    int64    // offset behind the last byte
}

type chunk struct {
	data    []byte // its capacity is what the next read may fill
	counted bool   // in the budget
}

// room returns space for the body's next bytes, of the given size if a chunk
// has to be begun, or nil if the budget has none. Uncounted room always is.
func (t *tee) room(size int, counted bool) []byte {
	if n := len(t.chunks); n > 0 {
		if last := t.chunks[n-1].data; len(last) < cap(last) {
			return last[len(last):cap(last)]
		}
	}
	data := t.chunk(size, counted)
	if data == nil {
		return nil
	}
	if t.chunks == nil {
		t.chunks = t.first[:0]
	}
	t.chunks = append(t.chunks, chunk{data: data, counted: counted})
	return data[:cap(data)]
}

func (t *tee) chunk(size int, counted bool) []byte {
	if counted {
		return t.memory.take(size)
	}
	if spare := t.spare; cap(spare) >= size {
		t.spare = nil
		return spare
	}
	return make([]byte, 0, size)
}

// commit adds the n bytes that were read into the room. If that was dropped
// meanwhile they are lost, but they count: a body that has begun is not one
// that can be begun again.
func (t *tee) commit(n int) {
	t.end += int64(n)
	last := len(t.chunks) - 1
	if last < 0 {
		t.start = t.end
		return
	}
	data := t.chunks[last].data
	t.chunks[last].data = data[:len(data)+n]
}

// readAt copies what is held from the offset on.
func (t *tee) readAt(p []byte, offset int64) int {
	at, n := t.start, 0
	for _, c := range t.chunks {
		next := at + int64(len(c.data))
		if offset < next {
			copied := copy(p[n:], c.data[offset-at:])
			n += copied
			offset += int64(copied)
		}
		if n == len(p) {
			break
		}
		at = next
	}
	return n
}

// trim frees the chunks of which nothing lies behind the offset. While a read
// fills the last one, that one stays and only stops being counted.
func (t *tee) trim(offset int64, filling bool) {
	for len(t.chunks) > 0 {
		c := &t.chunks[0]
		if t.start+int64(len(c.data)) > offset {
			return
		}
		if filling && len(t.chunks) == 1 {
			t.writeOff(c)
			return
		}
		if c.counted {
			t.memory.give(c.data)
		} else {
			t.spare = c.data[:0]
		}
		t.start += int64(len(c.data))
		*c = chunk{}
		t.chunks = t.chunks[1:]
	}
}

// drop frees everything.
func (t *tee) drop(filling bool) {
	if last := len(t.chunks) - 1; filling && last >= 0 {
		t.writeOff(&t.chunks[last])
	}
	for _, c := range t.chunks {
		if c.counted {
			t.memory.give(c.data)
		}
	}
	t.chunks, t.spare, t.start = nil, nil, t.end
}

func (t *tee) writeOff(c *chunk) {
	if c.counted {
		t.memory.writeOff(c.data)
		c.counted = false
	}
}
