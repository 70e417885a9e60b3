package gate

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// heard collects what a stream says, and when.
type heard struct {
	pieces chan string
	end    chan error
}

// listen reads s to its end.
func listen(s io.Reader) heard {
	h := heard{make(chan string, 1000), make(chan error, 1)}
	go func() {
		buf := make([]byte, 4<<10)
		for {
			n, err := s.Read(buf)
			if n > 0 {
				h.pieces <- string(buf[:n])
			}
			if err != nil {
				close(h.pieces)
				h.end <- err
				return
			}
		}
	}()
	return h
}

// all is what was said since it was asked last.
func (h heard) all() (all string) {
	synctest.Wait()
	for {
		select {
		case p, ok := <-h.pieces:
			if !ok {
				return all
			}
			all += p
		default:
			return all
		}
	}
}

// piped is a stream over a pipe.
func piped(t *testing.T, until time.Time) (*io.PipeWriter, *stream) {
	src, up := io.Pipe()
	s := newStream(src, until)
	t.Cleanup(func() {
		up.Close()
		synctest.Wait() // nobody reads it any more
		s.Close()
	})
	return up, s
}

func say(t *testing.T, up io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(up, text); err != nil {
		t.Fatal(err)
	}
}

func TestStreamPassesAtOnceWhatTheUpstreamSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Time{})
		h, begin := listen(s), time.Now()
		for _, part := range []string{"event: mess", "age\ndata: 1\n", "\n", strings.Repeat("x", 3000), "\n\n"} {
			say(t, up, part)
			if got := h.all(); got != part {
				t.Errorf("%q became %q", part, got)
			}
		}
		up.Close()
		if err := <-h.end; err != io.EOF || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestSilentStreamIsKeptByComments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Time{})
		h := listen(s)
		time.Sleep(silence - time.Nanosecond)
		if got := h.all(); got != "" {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(time.Nanosecond)
		if got := h.all(); got != comment {
			t.Errorf("before the first event: %q", got)
		}
		time.Sleep(10 * time.Second)
		say(t, up, "data: 1\n\n")
		time.Sleep(silence - time.Second)
		if got := h.all(); got != "data: 1\n\n" {
			t.Errorf("the silence was broken: %q", got)
		}
		time.Sleep(2 * silence)
		if got := h.all(); got != comment+comment {
			t.Errorf("after it: %q", got)
		}
	})
}

func TestCommentIsPutBetweenEventsOnly(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		"":                            true,
		"\xef":                        false,
		"\xef\xbb\xbf":                true,
		"data: 1\n\n":                 true,
		"data: 1\r\n\r\n":             true,
		"data: 1\r\r":                 true,
		"data: 1\r\n\r":               true,
		"data: 1\r\n\n":               true,
		"data: 1\n":                   false,
		"data: 1\r\n":                 false,
		"data: 1\r":                   false,
		"data: 1":                     false,
		"data: 1\n\n:":                false,
		"data: 1\n\n: a":              false,
		"data: 1\n\n: a\n":            true,
		"data: 1\n: a\n":              false,
		"id: 1\n\nretry: 5\n":         false,
		"data: 1\n\n\n\n":             true,
		"data":                        false,
		"\n":                          true,
		"data: no end of a line \xff": false,
	} {
		for _, size := range []int{1, 2, 1000} {
			synctest.Test(t, func(t *testing.T) {
				up, s := piped(t, time.Time{})
				h := listen(s)
				for b := []byte(said); len(b) > 0; b = b[min(size, len(b)):] {
					say(t, up, string(b[:min(size, len(b))]))
				}
				before := h.all()
				time.Sleep(3 * silence)
				if got := h.all(); got != map[bool]string{true: comment + comment + comment}[want] {
					t.Errorf("%q, by %d, then %q", before, size, got)
				}
			})
		}
	}
}

// TestCommentsChangeNoEvent holds that a client reads the same, wherever the
// upstream was silent.
func TestCommentsChangeNoEvent(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"data: 1\n\ndata: 2\n: hello\ndata: 3\n\nid: 7\n\n", "data: 1\r\n\r\ndata: 2\r\n\r\n", "data: 1\r\rdata: 2\r\r",
		"\xef\xbb\xbfdata: 1\n\n", "\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", "\xefdata: 1\n\ndata: 2\n\n", "data: \xef\xbb\xbf\n\n",
		"\n\n\r\r\r\n:\r:\n\r\ndata\r\n\r\n",
	} {
		want := events(said)
		for size := 1; size < 6; size++ {
			synctest.Test(t, func(t *testing.T) {
				up, s := piped(t, time.Time{})
				h := listen(s)
				var got string
				for b := []byte(said); len(b) > 0; b = b[min(size, len(b)):] {
					time.Sleep(silence)
					say(t, up, string(b[:min(size, len(b))]))
					got += h.all()
				}
				up.Close()
				got += h.all()
				if !strings.Contains(got, comment) || events(got) != want {
					t.Errorf("%q by %d became %q: %s", said, size, got, events(got))
				}
			})
		}
	}
}

// events are what a client reads of a stream.
func events(stream string) string {
	var all strings.Builder
	var p eventstream.Splitter
	p.Write([]byte(stream), func(_ []byte, e eventstream.Event) {
		if e.Data != nil || e.HasID || e.HasRetry {
			all.WriteString(string(e.Name) + "|" + string(e.Data) + "|" + string(e.ID) + "\n")
		}
	})
	return all.String()
}

func TestStreamEndsCleanlyAMinuteAfterTheToken(t *testing.T) {
	t.Parallel()
	for name, within := range map[string]string{"silent": "", "between events": "data: 1\n\n", "within one": "data: 1\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := &exchange{caller: &verify.Caller{Expires: time.Now().Add(50 * time.Second)}}
				up, s := piped(t, x.until())
				var why []string
				s.said = func(w string) { why = append(why, w) }
				h, begin := listen(s), time.Now()
				if within != "" {
					say(t, up, within)
				}
				if err := <-h.end; err != io.EOF || time.Since(begin) != 110*time.Second {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
				if got := strings.ReplaceAll(h.all(), comment, ""); got != within || len(why) != 1 {
					t.Errorf("%q, because of %q", got, why)
				}
				s.Close()
				if _, err := io.WriteString(up, "x"); err == nil {
					t.Error("the upstream goes on")
				}
			})
		})
	}
}

func TestBusyStreamEndsWithTheTokenToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Now().Add(10*time.Second))
		var talking sync.WaitGroup
		talking.Go(func() {
			for {
				if _, err := io.WriteString(up, "data: 1\n\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		begin := time.Now()
		if _, err := io.Copy(io.Discard, s); err != nil || time.Since(begin).Round(time.Second) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		s.Close()
		talking.Wait()
	})
}

func TestStreamOfNobodyIsNotEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, (&exchange{}).until())
		go func() {
			time.Sleep(72 * time.Hour)
			up.Close()
		}()
		begin := time.Now()
		if n, err := io.Copy(io.Discard, s); err != nil || time.Since(begin) != 72*time.Hour || n == 0 {
			t.Errorf("%d bytes, %v after %v", n, err, time.Since(begin))
		}
	})
}

func TestStreamThatTheUpstreamCutsHasNoCleanEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Now().Add(time.Hour))
		h := listen(s)
		say(t, up, "data: 1\n\n")
		cut := errors.New("cut")
		up.CloseWithError(cut)
		if err := <-h.end; err != cut {
			t.Error(err)
		}
		if got := h.all(); got != "data: 1\n\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestHeldStreamEndsBetweenEventsWhenTheGateDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		silent, s1 := piped(t, time.Time{})
		midway, s2 := piped(t, time.Time{})
		call, s3 := piped(t, time.Time{})
		s1.draining, s2.draining = draining, draining
		h1, h2, h3 := listen(s1), listen(s2), listen(s3)
		for _, up := range []io.Writer{silent, call} {
			say(t, up, "data: 1\n\n")
		}
		say(t, midway, "data: 1")
		synctest.Wait() // all of it has been passed on
		begin := time.Now()
		close(draining)
		if err := <-h1.end; err != io.EOF || time.Since(begin) != lastWords {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		say(t, midway, "\n")
		if h2.all(); len(h2.end) != 0 {
			t.Error("ended within an event")
		}
		say(t, midway, "\n")
		if err := <-h2.end; err != io.EOF || time.Since(begin) != 2*lastWords {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		say(t, call, "data: 2\n\n")
		if got := h3.all(); got != "data: 1\n\ndata: 2\n\n" || len(h3.end) != 0 {
			t.Errorf("a call was cut behind %q", got)
		}
	})
}

// TestSlowClientSlowsTheUpstream holds that nothing is gathered for a client that
// does not read.
func TestSlowClientSlowsTheUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Time{})
		written := 0
		go func() {
			for {
				n, err := up.Write(bytes.Repeat([]byte("x"), 100))
				if written += n; err != nil {
					return
				}
			}
		}()
		if _, err := s.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if synctest.Wait(); written > leastPiece {
			t.Errorf("%d bytes were taken for one that was read", written)
		}
		s.Close()
	})
}

func TestClosingAStreamEndsTheUpstreamsPartWhileNothingComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Time{})
		time.AfterFunc(time.Second, func() { _, _ = io.WriteString(up, "data: 1\n\n") })
		if _, err := s.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = s.Read(make([]byte, 100)) }()
		synctest.Wait()
		up.CloseWithError(io.ErrUnexpectedEOF)
		synctest.Wait()
		if s.Close(); s.Close() == io.EOF {
			t.Error("closing twice")
		}
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("a closed stream was read")
		}
	})
}

func TestHeaderOfAStreamKeepsOthersFromHoldingItBack(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"": "no-cache, no-transform", "no-cache": "no-cache|no-transform", "No-Cache, No-Transform": "No-Cache, No-Transform",
		"no-store|no-transform": "no-store|no-transform",
	} {
		g, x := &Gate{draining: make(chan struct{})}, &exchange{r: &http.Request{Method: http.MethodPost}}
		res := &http.Response{StatusCode: 200, ContentLength: 5, Body: http.NoBody, Header: http.Header{
			"Content-Type": {"text/event-stream; charset=utf-8"}, "Content-Length": {"5"}, "X-Accel-Buffering": {"yes"},
		}}
		if said != "" {
			res.Header["Cache-Control"] = strings.Split(said, "|")
		}
		g.keep(x, res)
		h := res.Header
		if got := strings.Join(h["Cache-Control"], "|"); got != want || h.Get("X-Accel-Buffering") != "no" || h.Get("Content-Length") != "" || res.ContentLength != -1 {
			t.Errorf("%q: %q %v", said, got, h)
		}
		if s, ok := res.Body.(*stream); !ok || s.draining != nil {
			t.Errorf("%T, which a drain may end", res.Body)
		}
	}
}

func TestWhatIsNoStreamIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, mediaType string
		status            int
	}{
		"JSON": {"POST", "application/json", 200}, "an error": {"GET", "text/event-stream", 404}, "HEAD": {"HEAD", "text/event-stream", 200},
	} {
		res := &http.Response{StatusCode: c.status, Body: http.NoBody, Header: http.Header{"Content-Type": {c.mediaType}}}
		new(Gate).keep(&exchange{r: &http.Request{Method: c.method}}, res)
		if res.Body != http.NoBody || len(res.Header) != 1 {
			t.Errorf("%s: %T %v", name, res.Body, res.Header)
		}
	}
}

// TestStreamInACodingGetsNoComment holds that nothing is put into what cannot be
// read, and that it ends nevertheless.
func TestStreamInACodingGetsNoComment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, x := &Gate{draining: make(chan struct{})}, &exchange{r: &http.Request{Method: http.MethodGet}}
		src, up := io.Pipe()
		res := &http.Response{StatusCode: 200, Body: src, Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}}
		g.o.Log = slog.New(slog.DiscardHandler)
		x.route = &route{}
		g.keep(x, res)
		h := listen(res.Body)
		say(t, up, "\x1f\x8b\n\n")
		time.Sleep(time.Hour)
		if got := h.all(); got != "\x1f\x8b\n\n" {
			t.Errorf("%q", got)
		}
		say(t, up, "\x1f")
		close(g.draining)
		if err := <-h.end; err != io.EOF {
			t.Error(err)
		}
		res.Body.Close()
	})
}
