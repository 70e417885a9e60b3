package session

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/replay"
)

// counted counts what is read of a body that is never sent.
type counted struct {
	io.Reader
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

func (c *counted) Close() error { return nil }

type blanks struct{}

func (blanks) Read(p []byte) (int, error) { return copy(p, strings.Repeat(" ", len(p))), nil }

// A server may refuse a message of which it has not had the end.
func TestOfAMessageThatWasRefusedEarlyNoMoreIsReadThanMayBeHeld(t *testing.T) {
	t.Parallel()
	const limit, much = 64 << 10, 16 << 20
	for name, memory := range map[string]int64{"the limit": much, "the memory": limit / 2} {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		budget := replay.NewBudget(memory)
		early := roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get(headerSession) == "" {
				return srv.RoundTrip(req)
			}
			io.ReadFull(req.Body, make([]byte, 16))
			return answerWith(req, 404, "", "gone"), nil
		})
		rt := New(early, Options{Book: book, BodyLimit: limit, Memory: budget})
		_, id := exchangeOf(t, rt, "", aBeginning)
		body := &counted{Reader: io.LimitReader(blanks{}, much)}
		req, _ := http.NewRequest("POST", "https://mcp.test/mcp", body)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(headerSession, id)
		req.Header.Set(headerVersion, "2025-06-18")
		res, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 404 || body.read > min(limit, memory)+128<<10 {
			t.Errorf("%s: status %d, %d bytes read", name, res.StatusCode, body.read)
		}
		if n := budget.Held(); n != 0 {
			t.Errorf("%s: %d bytes are held", name, n)
		}
	}
}
