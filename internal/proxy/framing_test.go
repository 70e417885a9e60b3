package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Where framing sees no ambiguity it agrees with net/http about where each
// request ends, however the bytes arrive.
func FuzzFraming(f *testing.F) {
	for _, c := range smuggled {
		f.Add([]byte(strings.ReplaceAll(c.raw, "@", "api.test")))
	}
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\nA;x\r\n0123456789\r\n00\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var whole, bytewise framing
		n, err := whole.pass(stream)
		m := 0
		var errBytewise error
		for m < len(stream) && errBytewise == nil {
			var k int
			k, errBytewise = bytewise.pass(stream[m : m+1])
			m += k
		}
		if n != m || err != errBytewise {
			t.Fatalf("at once: %d bytes, %v; byte by byte: %d, %v", n, err, m, errBytewise)
		}
		agree(t, stream)
	})
}

// agree compares the ends of the requests in stream.
func agree(t *testing.T, stream []byte) {
	unread := bytes.NewReader(stream)
	r := bufio.NewReader(unread)
	var f framing
	for done := 0; ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		end := len(stream) - unread.Len() - r.Buffered()
		if _, err := f.pass(stream[done:end]); err != nil || f.at == beyond {
			return
		}
		if f.at != betweenRequests {
			t.Fatalf("net/http sees a request end behind %q, framing is at %d of it", stream[done:end], f.at)
		}
		done = end
	}
}
