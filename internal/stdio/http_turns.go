package stdio

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

const (
	large     = 64 << 10 // bytes of a message that takes a turn to be held
	mostLarge = 8        // such messages that are held at the same time
)

// turn waits until one more large message may be held, and returns what ends
// that. Who has a turn waits for nothing but the server and the client's reading,
// never for another turn.
func (s *streamable) turn(ctx context.Context) (leave func(), err error) {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return func() {}, context.Cause(ctx)
	}
}

// whole returns a body. It is held until leave is called.
func (s *streamable) whole(ctx context.Context, res *http.Response) (raw []byte, leave func(), err error) {
	leave = func() {}
	var b bytes.Buffer
	if n, err := b.ReadFrom(io.LimitReader(res.Body, large+1)); err != nil {
		return nil, leave, s.cut(ctx, err)
	} else if n <= large {
		return b.Bytes(), leave, nil
	}
	if leave, err = s.turn(ctx); err != nil {
		return nil, leave, err
	}
	if n := res.ContentLength; n > large && n <= int64(s.most) {
		b.Grow(int(n) - b.Len() + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(res.Body, int64(s.most+1-b.Len()))); err != nil {
		return nil, leave, s.cut(ctx, err)
	}
	if b.Len() > s.most {
		return nil, leave, tooLarge()
	}
	return b.Bytes(), leave, nil
}

// cut says why an answer could not be read to its end.
func (s *streamable) cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return broke(err)
}
