package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// piece is what one read of a body brings, after a while.
type piece struct {
	after time.Duration
	data  string
	err   error
}

// pieces is a body that comes piece by piece.
type pieces []piece

func (p *pieces) Read(b []byte) (int, error) {
	next := (*p)[0]
	*p = (*p)[1:]
	time.Sleep(next.after) // in a bubble
	return copy(b, next.data), next.err
}

func (p *pieces) Close() error { return nil }

// journal writes down what reaches net/http, and when.
type journal struct {
	http.ResponseWriter
	began time.Time
	said  []string
}

func (j *journal) Write(p []byte) (int, error) {
	j.said = append(j.said, string(p))
	return len(p), nil
}

func (j *journal) FlushError() error {
	j.said = append(j.said, fmt.Sprint("flush ", time.Since(j.began)))
	return nil
}

func TestNothingIsHeldForLongAndWhatIsThereIsOnePiece(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		length int64
		body   pieces
		want   []string
	}{
		"a body that is there":            {3, pieces{{0, "abc", io.EOF}}, []string{"abc"}},
		"a body and its end apart":        {3, pieces{{0, "abc", nil}, {0, "", io.EOF}}, []string{"abc"}},
		"a body that comes late":          {3, pieces{{time.Hour, "abc", io.EOF}}, []string{"flush 1ms", "abc"}},
		"an end that comes late":          {3, pieces{{0, "abc", nil}, {time.Hour, "", io.EOF}}, []string{"abc", "flush 1ms"}},
		"a body in parts":                 {3, pieces{{0, "a", nil}, {0, "b", nil}, {0, "c", nil}, {0, "", io.EOF}}, []string{"a", "flush 0s", "b", "flush 0s", "c"}},
		"a body of unknown length":        {-1, pieces{{0, "abc", io.EOF}}, []string{"abc"}},
		"a stream":                        {-1, pieces{{time.Second, "a", nil}, {time.Second, "b", nil}, {time.Second, "", io.EOF}}, []string{"flush 1ms", "a", "flush 1s", "b", "flush 2s"}},
		"a stream that begins at once":    {-1, pieces{{0, "a", nil}, {time.Second, "", io.EOF}}, []string{"a", "flush 0s"}},
		"no body, and a late end":         {0, pieces{{time.Hour, "", io.EOF}}, nil},
		"a break before the body":         {3, pieces{{0, "", broken}}, []string{"flush 0s"}},
		"a break with the last bytes":     {3, pieces{{0, "ab", broken}}, []string{"ab", "flush 0s"}},
		"a break behind all":              {3, pieces{{0, "abc", nil}, {0, "", broken}}, []string{"abc", "flush 0s"}},
		"a break of what was passed on":   {-1, pieces{{0, "a", nil}, {0, "", broken}}, []string{"a", "flush 0s"}},
		"more than was declared, as none": {0, pieces{{0, "a", nil}, {0, "", io.EOF}}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{ResponseWriter: httptest.NewRecorder(), began: time.Now()}
				w := &response{ResponseWriter: j, rec: new(record.Record)}
				last := tt.body[len(tt.body)-1].err
				err := w.copy(httptest.NewRequest("GET", "/", nil), &http.Response{ContentLength: tt.length, Body: &tt.body})
				if !slices.Equal(j.said, tt.want) {
					t.Errorf("sent %q, want %q", j.said, tt.want)
				}
				if last != io.EOF && err != last || last == io.EOF && err != nil {
					t.Errorf("error %v", err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(j.said) != len(tt.want) {
					t.Errorf("behind the end: %q", j.said)
				}
			})
		})
	}
}

// panicking is a body that panics, as that of a route may.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("read") }
func (panicking) Close() error             { return nil }

func TestNobodyFlushesBehindAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{ResponseWriter: httptest.NewRecorder(), began: time.Now()}
		w := &response{ResponseWriter: j, rec: new(record.Record)}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			w.copy(httptest.NewRequest("GET", "/", nil), &http.Response{ContentLength: -1, Body: panicking{}})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(j.said) > 0 {
			t.Errorf("sent %q", j.said)
		}
	})
}

func TestBufferIsLargeOnlyWhileReadsFillIt(t *testing.T) {
	t.Parallel()
	var w window
	for i, step := range []struct{ read, next int }{
		{100, smallWindow}, {smallWindow, largeWindow}, {largeWindow, largeWindow}, {smallWindow, largeWindow}, {smallWindow / 2, smallWindow}, {0, smallWindow},
	} {
		if i == 0 && len(w.begin(-1)) != smallWindow {
			t.Error("a stream of unknown length begins with a large buffer")
		}
		if got := len(w.fit(step.read)); got != step.next || (w.large != nil) != (step.next == largeWindow) {
			t.Errorf("behind a read of %d: %d bytes, want %d", step.read, got, step.next)
		}
	}
	if got := len(w.begin(1 << 20)); got != largeWindow {
		t.Errorf("a large body begins with %d bytes", got)
	}
	w.release()
	if w.large != nil {
		t.Error("the buffer is kept")
	}
}

// halfDuplex can be written to, and not be closed in one direction.
type halfDuplex struct{ strings.Builder }

func TestPumpCopiesAllAndPassesTheEndOn(t *testing.T) {
	t.Parallel()
	all := strings.Repeat("0123456789", 10_000)
	var dst halfDuplex
	if err := pump(&dst, strings.NewReader(all)); !errors.Is(err, errNoHalfClose) || dst.String() != all {
		t.Errorf("%d bytes, %v", dst.Len(), err)
	}
}
