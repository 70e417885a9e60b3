package replay

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

func opened(t *testing.T, s *spool) io.ReadCloser {
	t.Helper()
	tap, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	return tap
}

func TestTapsOfOneBodyNeverReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	src := &exclusive{Reader: bytes.NewReader(bytes.Repeat([]byte("0123456789"), 20_000))}
	s := newSpool(src, -1, 1<<20, NewBudget(1<<20))
	done := make(chan struct{})
	var readers int
	for range 20 {
		tap := opened(t, s)
		readers++
		go func() {
			defer func() { done <- struct{}{} }()
			defer tap.Close()
			io.Copy(io.Discard, tap)
		}()
	}
	last := opened(t, s)
	got, err := io.ReadAll(last)
	if err != nil || len(got) != 200_000 {
		t.Errorf("the last tap read %d bytes, %v", len(got), err)
	}
	last.Close()
	s.finish()
	for range readers {
		<-done
	}
	if src.clash.Load() {
		t.Error("two reads of the client's body at once")
	}
}

type exclusive struct {
	io.Reader
	busy, clash, closed atomic.Bool
}

func (e *exclusive) Read(p []byte) (int, error) {
	if !e.busy.CompareAndSwap(false, true) {
		e.clash.Store(true)
	}
	defer e.busy.Store(false)
	return e.Reader.Read(p[:min(len(p), 100)])
}

func (e *exclusive) Close() error { e.closed.Store(true); return nil }

func TestClientsBodyIsClosedOnceNoAttemptFollows(t *testing.T) {
	for name, end := range map[string]func(*spool, io.ReadCloser){
		"attempt closed, then final": func(s *spool, tap io.ReadCloser) { tap.Close(); s.finish() },
		"final, then attempt closed": func(s *spool, tap io.ReadCloser) { s.finish(); tap.Close() },
		"final after a second":       func(s *spool, tap io.ReadCloser) { second, _ := s.open(); second.Close(); tap.Close(); s.finish() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body, client := io.Pipe()
				memory := NewBudget(1 << 20)
				s := newSpool(body, -1, 1<<20, memory)
				tap := opened(t, s)
				go io.Copy(io.Discard, tap)
				io.WriteString(client, "some")
				synctest.Wait() // a read of the client's body is under way
				end(s, tap)
				if _, err := io.WriteString(client, "more"); err == nil {
					synctest.Wait()
					_, err = io.WriteString(client, "more")
					if !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("the client's body is open: %v", err)
					}
				}
				if held := memory.Held(); held != 0 {
					t.Errorf("%d bytes are still held", held)
				}
			})
		})
	}
}

func TestClosingAnEarlierAttemptClosesNothing(t *testing.T) {
	t.Parallel()
	src := &exclusive{Reader: bytes.NewReader([]byte("body"))}
	s := newSpool(src, 4, 4, NewBudget(4))
	first := opened(t, s)
	second := opened(t, s)
	s.finish()
	first.Close()
	if src.closed.Load() {
		t.Error("the client's body is closed under the second attempt")
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errDetached) {
		t.Errorf("the first attempt reads on: %v", err)
	}
	if err := iotest.TestReader(second, []byte("body")); err != nil {
		t.Error(err)
	}
	second.Close()
	if !src.closed.Load() {
		t.Error("the client's body is open")
	}
}

func TestReplayThatIsAnsweredEarlyIsStillSentWhole(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	memory := NewBudget(1 << 20)
	s := newSpool(io.NopCloser(bytes.NewReader(data)), int64(len(data)), 1<<20, memory)
	first := opened(t, s)
	io.CopyN(io.Discard, first, 200_000)
	s.halt()
	s.leave()
	second := opened(t, s)
	head := make([]byte, 1000)
	io.ReadFull(second, head)
	s.finish()
	if memory.Held() < 200_000-chunkSize {
		t.Errorf("only %d bytes are held", memory.Held())
	}
	rest, err := io.ReadAll(second)
	if err != nil || !bytes.Equal(append(head, rest...), data) {
		t.Errorf("the replay is another: %d bytes, %v", len(head)+len(rest), err)
	}
	second.Close()
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

func TestHaltedBodyIsReadNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, client := io.Pipe()
		s := newSpool(body, -1, 8, NewBudget(1<<20))
		tap := opened(t, s)
		go io.Copy(io.Discard, tap)
		io.WriteString(client, "12345678")
		synctest.Wait()
		s.halt()
		// The read under way takes these, and they count for nothing.
		io.WriteString(client, "9")
		if why := s.flaw(); why != nil {
			t.Errorf("the body is lost: %v", why)
		}
		written := make(chan struct{})
		go func() { io.WriteString(client, "10"); close(written) }()
		synctest.Wait()
		select {
		case <-written:
			t.Error("the client was read on")
		default:
		}
		s.finish()
		<-written
		client.Close()
		synctest.Wait()
		tap.Close()
	})
}

func TestEndComesWithTheLastBytes(t *testing.T) {
	t.Parallel()
	s := newSpool(io.NopCloser(iotest.DataErrReader(bytes.NewReader([]byte("body")))), 4, 4, NewBudget(4))
	tap := opened(t, s)
	if n, err := tap.Read(make([]byte, 100)); n != 4 || err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
	tap.Close()
	s.finish()
}

func TestBodyThatBrokeOffIsNotSentAgain(t *testing.T) {
	t.Parallel()
	broke := errors.New("broke off")
	s := newSpool(io.NopCloser(io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broke))), -1, 1<<20, NewBudget(1<<20))
	tap := opened(t, s)
	got, err := io.ReadAll(tap)
	if string(got) != "half" || !errors.Is(err, broke) {
		t.Errorf("read %q, %v", got, err)
	}
	s.halt()
	if why := s.flaw(); why != ErrBroken {
		t.Errorf("got %v", why)
	}
	tap.Close()
	s.finish()
}

func TestBudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	b := NewBudget(3 * chunkSize)
	var chunks [][]byte
	for c := b.take(chunkSize); c != nil; c = b.take(chunkSize) {
		chunks = append(chunks, c)
	}
	if len(chunks) != 3 || b.Held() != 3*chunkSize {
		t.Errorf("%d chunks, %d held", len(chunks), b.Held())
	}
	for _, c := range chunks {
		b.give(c)
	}
	if b.Held() != 0 || b.take(3*chunkSize+1) != nil || b.Held() != 0 {
		t.Errorf("%d held", b.Held())
	}
	if (*Budget)(nil).take(1) != nil || (*Budget)(nil).Held() != 0 {
		t.Error("a nil budget holds something")
	}
}

func TestWholeIsWhatWasSent(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	for name, declared := range map[string]int64{"declared": int64(len(data)), "undeclared": -1} {
		s := newSpool(io.NopCloser(bytes.NewReader(data)), declared, 1<<20, NewBudget(1<<20))
		tap := opened(t, s)
		if _, ok := s.whole(1 << 20); ok {
			t.Errorf("%s: whole before it was read", name)
		}
		io.CopyN(io.Discard, tap, 50_000)
		if _, ok := s.whole(1 << 20); ok && declared < 0 {
			t.Errorf("%s: whole before its end", name)
		}
		io.Copy(io.Discard, tap)
		if _, ok := s.whole(int64(len(data)) - 1); ok {
			t.Errorf("%s: more than was asked for", name)
		}
		if got, ok := s.whole(int64(len(data))); !ok || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), ok)
		}
		s.finish()
		if _, ok := s.whole(1 << 20); ok {
			t.Errorf("%s: whole although it is let go", name)
		}
		tap.Close()
	}
}

// spy notes into what its last Read read.
type spy struct {
	io.Reader
	into []byte
}

func (s *spy) Read(p []byte) (int, error) { s.into = p; return s.Reader.Read(p[:min(len(p), 10_000)]) }
func (s *spy) Close() error               { return nil }

func TestLargeBodyIsNeitherHeldNorCopied(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	data := bytes.Repeat([]byte("0123456789"), limit/5)
	for name, major := range map[string]int{"HTTP/1": 1, "HTTP/2": 2} {
		src, memory := &spy{Reader: bytes.NewReader(data)}, NewBudget(1<<20)
		b := Hold(&http.Request{Body: src, ContentLength: -1, ProtoMajor: major}, limit, memory)
		req, _ := b.Attempt()
		got := make([]byte, len(data))
		for n := 0; n < len(data); {
			m, err := req.Body.Read(got[n:])
			if m == 0 {
				t.Fatalf("%s: %v after %d bytes", name, err, n)
			}
			// Over HTTP/2 an attempt can still be told to leave while it waits.
			if large := n > limit+chunkSize; large && (&src.into[0] == &got[n]) != (major == 1) {
				t.Errorf("%s: at %d the body is not read as it should", name, n)
			}
			n += m
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s: another body is sent", name)
		}
		if why, held := b.Flaw(), memory.Held(); why != ErrTooLarge || held != 0 {
			t.Errorf("%s: %v, %d bytes are held", name, why, held)
		}
		if n, err := req.Body.Read(got); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end there are %d bytes, %v", name, n, err)
		}
		b.Finish()
		req.Body.Close()
	}
}

// slow is a client whose bytes come when they are released, closed or not.
type slow struct {
	io.Reader
	reading, released chan struct{}
}

func (s slow) Read(p []byte) (int, error) {
	close(s.reading)
	<-s.released
	return s.Reader.Read(p)
}

func TestBodyWhoseBytesCameTooLateIsNotSentAsAnEmptyOne(t *testing.T) {
	t.Parallel()
	src := slow{iotest.DataErrReader(bytes.NewReader([]byte("body"))), make(chan struct{}), make(chan struct{})}
	s := newSpool(io.NopCloser(src), -1, 1<<20, NewBudget(0)) // no room: it passes
	first := opened(t, s)
	read := make(chan error)
	go func() {
		_, err := first.Read(make([]byte, 10))
		read <- err
	}()
	<-src.reading
	done := s.inFlight()
	first.Close()
	if err := <-read; !errors.Is(err, errDetached) {
		t.Errorf("the attempt that was closed reads on: %v", err)
	}
	close(src.released)
	<-done
	if second, err := s.open(); err == nil {
		got, err := io.ReadAll(second)
		t.Errorf("the body is sent again as %q, %v", got, err)
	}
	s.finish()
}

// inFlight returns a channel that is closed when no read is under way.
func (s *spool) inFlight() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.mu.Lock()
		defer s.mu.Unlock()
		for s.reading {
			s.turn.Wait()
		}
	}()
	return done
}
