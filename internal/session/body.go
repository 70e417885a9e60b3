package session

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
)

// body is an answer's body that is read through something, or tells its end.
type body struct {
	io.Reader
	src  io.Closer
	done func() // called once it is closed; may be called more than once
}

// Close implements [io.Closer].
func (b *body) Close() error {
	if b.done != nil {
		defer b.done()
	}
	return b.src.Close()
}

// whenClosed has done called at the end of an answer. What comes of an upgrade
// is a connection, and is left alone.
func whenClosed(res *http.Response, done func()) {
	if res.Body == http.NoBody || res.StatusCode == http.StatusSwitchingProtocols {
		done()
		return
	}
	res.Body = &body{res.Body, res.Body, done}
}

// plain returns what the beginning of a body says, as far as that can be read.
func plain(h http.Header, head []byte) []byte {
	var r io.Reader
	var err error
	switch strings.ToLower(h.Get("Content-Encoding")) {
	case "", "identity":
		return head
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(head))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(head))
	}
	if r == nil || err != nil {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(r, mostHead))
	return said
}
