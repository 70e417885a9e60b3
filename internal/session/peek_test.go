package session

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a body that comes in two parts, an hour apart.
type slow struct {
	parts  []string
	closed chan struct{}
}

func (s *slow) Read(p []byte) (int, error) {
	switch len(s.parts) {
	case 0:
		return 0, io.EOF
	case 1:
		select {
		case <-time.After(time.Hour):
		case <-s.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(p, s.parts[0])
	s.parts = s.parts[1:]
	return n, nil
}

func (s *slow) Close() error { close(s.closed); return nil }

func TestRefusalThatDoesNotEndIsJudgedByItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		src := &slow{[]string{"no valid session id", ", it says"}, make(chan struct{})}
		res := &http.Response{StatusCode: 400, Body: src}
		if got := symptom(res); got != "400" || time.Since(begun) != mostPeek {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
		if b, err := io.ReadAll(res.Body); string(b) != "no valid session id, it says" || err != nil {
			t.Errorf("the client reads %q, %v", b, err)
		}
		res.Body.Close()
	})
}

func TestRefusalThatDoesNotEndCanBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &slow{[]string{"x", "y"}, make(chan struct{})}
		res := &http.Response{StatusCode: 400, Body: src}
		peek(res)
		begun := time.Now()
		res.Body.Close() // and nothing is left behind
		if d := time.Since(begun); d != 0 {
			t.Errorf("after %v", d)
		}
	})
}

func TestRefusalPassesWhole(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, mostHead - 1, mostHead, 3 * mostHead} {
		text := strings.Repeat("x", n)
		res := &http.Response{Body: io.NopCloser(strings.NewReader(text))}
		if head := peek(res); len(head) != min(n, mostHead) {
			t.Errorf("%d of %d bytes were looked at", len(head), n)
		}
		if b, err := io.ReadAll(res.Body); string(b) != text || err != nil {
			t.Errorf("%d of %d bytes pass, %v", len(b), n, err)
		}
	}
}
