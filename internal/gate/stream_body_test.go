package gate

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestStreamLosesNothingToASmallReader holds also of what is held back until it
// cannot be a byte order mark any more.
func TestStreamLosesNothingToASmallReader(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"data: 1\n\ndata: 2\n\n", "\xef", "\xef\xbb", "\xef\xbbdata: 1\n\n"} {
		s := newStream(io.NopCloser(strings.NewReader(said)), time.Time{})
		if n, err := s.Read(nil); n != 0 || err != nil {
			t.Errorf("reading nothing: %d, %v", n, err)
		}
		if got, err := io.ReadAll(iotest.OneByteReader(s)); string(got) != said || err != nil {
			t.Errorf("%q became %q, %v", said, got, err)
		}
		s.Close()
		if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
	}
}

// sizes is an upstream that tells how much is asked of it at once, and gives all
// of it three times out of four.
type sizes struct{ asked []int }

func (r *sizes) Read(p []byte) (int, error) {
	r.asked = append(r.asked, len(p))
	if len(r.asked) == 6 {
		return 0, io.EOF
	}
	if len(r.asked) == 2 {
		return 1, nil
	}
	return len(p), nil
}
func (r *sizes) Close() error { return nil }

func TestStreamTakesLargerPiecesOnlyOfOneThatSaysMuch(t *testing.T) {
	t.Parallel()
	src := &sizes{}
	s := newStream(src, time.Time{})
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Fatal(err)
	}
	s.Close()
	want := []int{leastPiece, 4 * leastPiece, 4 * leastPiece, 16 * leastPiece, mostPiece, mostPiece}
	for i := range src.asked {
		if src.asked[i] != want[i] {
			t.Errorf("the pieces are %v, want %v", src.asked, want)
			break
		}
	}
}

func TestStreamOfACallerIsKeptByCommentsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s := piped(t, time.Now().Add(time.Hour))
		h := listen(s)
		time.Sleep(3 * silence)
		if got := h.all(); got != comment+comment+comment {
			t.Errorf("%q", got)
		}
	})
}

// TestDrainPassesOnFirstWhatHasCome holds of an event that has come while the end
// was.
func TestDrainPassesOnFirstWhatHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, s := piped(t, time.Time{})
		s.begin()
		s.asked, s.leaving = true, time.Now().Add(-mostLastWords)
		s.got <- piece{data: []byte("data: 1\n\n")}
		if got, err := io.ReadAll(s); string(got) != "data: 1\n\n" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// lingering is an upstream that notices only after a while that it was closed.
type lingering struct{ closed chan struct{} }

func (r lingering) Read([]byte) (int, error) {
	<-r.closed
	time.Sleep(time.Minute)
	return 0, io.EOF
}

func (r lingering) Close() error {
	close(r.closed)
	return errors.New("it was not well")
}

func TestClosingAStreamWaitsForWhoReadsTheUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStream(lingering{make(chan struct{})}, time.Time{})
		s.begin()
		s.more <- struct{}{}
		synctest.Wait()
		began := time.Now()
		if err := s.Close(); err == nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if _, err := s.Read(make([]byte, 1)); err != io.ErrClosedPipe {
			t.Errorf("a closed stream: %v", err)
		}
	})
}

// TestStreamThatCanBeReadGetsComments holds of what is named as no coding.
func TestStreamThatCanBeReadGetsComments(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"", "identity", "Identity"} {
		synctest.Test(t, func(t *testing.T) {
			g, x := &Gate{draining: make(chan struct{})}, &exchange{r: &http.Request{Method: http.MethodGet}, route: &route{}}
			g.o.Log = slog.New(slog.DiscardHandler)
			src, up := io.Pipe()
			res := &http.Response{StatusCode: 200, Body: src, Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {coding}}}
			g.keep(x, res)
			h := listen(res.Body)
			time.Sleep(silence)
			if got := h.all(); got != comment {
				t.Errorf("%q: %q", coding, got)
			}
			up.Close()
			<-h.end
			res.Body.Close()
		})
	}
}
