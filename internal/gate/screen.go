package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// mostListed is how much of an answer is held to look for lists in it.
const mostListed = 16 << 20

// hidden is why an answer is not shown. It has nothing of the answer.
type hidden string

// Error implements error.
func (h hidden) Error() string { return string(h) }

const (
	hiddenCoded  = hidden("it is compressed, though the gate did not ask for that, and cannot be judged")
	hiddenLarge  = hidden("it may be a list, and is too large to be read")
	hiddenUnread = hidden("it may hold a list, and is not one that every reader reads alike")
	hiddenCut    = hidden("it broke off")
)

// screen takes what the caller may not see out of the lists in an answer: by
// their shape, whatever they answer. An answer that cannot be read is not shown.
func (g *Gate) screen(x *exchange, res *http.Response) error {
	if x.route.plain() || res.Body == http.NoBody || res.ContentLength == 0 || x.r.Method == http.MethodHead {
		return nil
	}
	if coded(res.Header) {
		return hiddenCoded
	}
	s := x.sieve(g.o.Log)
	stream, text := isEventStream(res.Header), isOf(res.Header, "application/json")
	switch {
	case len(res.Header["Content-Type"]) > 1, stream && text:
		return hiddenUnread
	case stream:
		s.events(res)
		return nil
	case text:
		return s.whole(res)
	}
	return s.odd(res)
}

// events screens an event stream.
func (s *sieve) events(res *http.Response) {
	unmeasured(res)
	res.Body = newScreened(res.Body, s)
}

func coded(h http.Header) bool {
	for _, e := range h["Content-Encoding"] {
		if !strings.EqualFold(e, "identity") {
			return true
		}
	}
	return false
}

// unmeasured removes what says how long the body is, and what sums it up.
func unmeasured(res *http.Response) {
	res.ContentLength = -1
	for _, name := range []string{"Content-Length", "Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges"} {
		res.Header.Del(name)
	}
}

// whole screens an answer in JSON. It is read to its end before anything of it is
// shown, also where no list is asked for: a client chooses the ids, and a server
// that has two requests of one id answers the one with what the other asked for.
// What is too large for that goes on as long as no list appears in it.
func (s *sieve) whole(res *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, mostListed+1))
	switch {
	case err != nil:
		return errors.Join(hiddenCut, err)
	case len(b) > mostListed:
		return s.large(b, res)
	}
	out, err := s.message(b)
	if err != nil && res.StatusCode >= http.StatusBadRequest {
		out, err = nil, nil // no list comes with such a status, which clients have to know
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(out, b) {
		unmeasured(res)
		res.Header.Set("Content-Length", strconv.Itoa(len(out)))
	}
	res.Body, res.ContentLength = joined{bytes.NewReader(out), res.Body}, int64(len(out))
	return nil
}

// large has an answer go on that begins with head and is too large to be held.
func (s *sieve) large(head []byte, res *http.Response) error {
	rest := &watched{from: res.Body}
	if s.lists || rest.lists.in(head) {
		return hiddenLarge
	}
	res.Body = joined{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	return nil
}

// odd screens an answer of another type, which is none of MCP's, but for what a
// careless client takes for JSON, or for events.
func (s *sieve) odd(res *http.Response) error {
	head, err := beginning(res.Body)
	rest := io.Reader(res.Body)
	if err != nil {
		rest = failing{err}
	}
	res.Body = joined{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	if looksEvents(head) {
		s.events(res)
		return nil
	}
	if !looksJSON(head) {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, mostListed+1))
	if err != nil {
		return errors.Join(hiddenCut, err)
	}
	res.Body = joined{io.MultiReader(bytes.NewReader(b), res.Body), res.Body}
	if len(b) > mostListed || json.Valid(bytes.TrimPrefix(b, []byte(byteOrderMark))) {
		return s.whole(res)
	}
	return nil
}

const byteOrderMark = "\xef\xbb\xbf"

// mostSpace is how much space is looked behind for what a text begins with.
const mostSpace = 4 << 10

// beginning reads up to the first byte that is not space.
func beginning(r io.Reader) (head []byte, err error) {
	buf := make([]byte, 512)
	for len(spaceless(head)) == 0 && len(head) < mostSpace {
		n, err := r.Read(buf)
		if head = append(head, buf[:n]...); err != nil {
			return head, err
		}
	}
	return head, nil
}

// looksJSON reports whether a text begins as an object or an array does, or with
// so much space that it cannot be told.
func looksJSON(head []byte) bool {
	text := spaceless(head)
	return len(text) == 0 && len(head) >= mostSpace || len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// looksEvents reports whether a text begins as an event stream does.
func looksEvents(head []byte) bool {
	name, _, _ := bytes.Cut(spaceless(head), []byte(":"))
	return slices.Contains([]string{"data", "event", "id", "retry"}, string(name))
}

func spaceless(b []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(b, []byte(byteOrderMark)), " \t\r\n")
}

// joined is a body with another beginning.
type joined struct {
	io.Reader
	io.Closer
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
