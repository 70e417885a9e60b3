package gate

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/listing"
)

// read takes the message of a POST, which goes on as it is. It refuses what the
// upstream could read differently.
func (g *Gate) read(x *exchange) bool {
	if a, ok := unreadable(x.r.Header); ok {
		x.refuse(a)
		return false
	}
	raw, err := g.limited(x)
	if err != nil {
		x.refuse(x.broken(err))
		return false
	}
	m, err := parse(raw)
	if m != nil {
		x.message = m
	}
	if x.removed(err) {
		x.refuse(noSuchMethod)
		return false
	}
	if err != nil {
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "unclear-message", denied: deniedMessage,
			title: "The body is no JSON-RPC message that every reader reads alike", detail: strings.TrimPrefix(err.Error(), "jsonrpc: "),
			hint: "Send one JSON object in UTF-8 whose names are not repeated, or an array of them",
		})
		return false
	}
	return true
}

// unreadable is the answer to a body that is no JSON as it is sent.
func unreadable(h http.Header) (a answer, refused bool) {
	a = answer{status: http.StatusUnsupportedMediaType, kind: "media-type", denied: deniedMessage, title: "The body is not JSON as it is"}
	encodings := h["Content-Encoding"]
	if len(encodings) > 1 || len(encodings) == 1 && !strings.EqualFold(encodings[0], "identity") {
		a.hint = "Send it without Content-Encoding: what is compressed is not judged"
		return a, true
	}
	types := h["Content-Type"]
	a.hint = "Send one header: Content-Type: application/json, in UTF-8"
	if len(types) != 1 {
		return a, true
	}
	media, params, err := mime.ParseMediaType(types[0])
	charset, is := params["charset"]
	return a, err != nil || media != "application/json" || is && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8")
}

var (
	errTooLarge = errors.New("larger than a message may be")
	errBusy     = errors.New("the messages of others hold all that there is for them")
)

// limited reads the body, if it is not too large, and there is room for it.
func (g *Gate) limited(x *exchange) ([]byte, error) {
	most := g.o.BodyLimit
	if x.r.ContentLength > most {
		return nil, errTooLarge
	}
	var b []byte
	for {
		if len(b) == cap(b) {
			size := x.room(int64(cap(b)), most)
			if !g.hold(x, size-int64(cap(b))) {
				return nil, errBusy
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > most:
			return nil, errTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// room is how large the next buffer is, behind a full one of that size: a length
// is but a promise, so that it grows with what comes. There is a byte more than the
// body may have, for its end to be seen.
func (x *exchange) room(full, most int64) int64 {
	if length := x.r.ContentLength; length >= full {
		return min(max(64<<10, 2*full), length+1)
	}
	return min(max(4<<10, 2*full), most+1)
}

// broken is the answer to a body that could not be read.
func (x *exchange) broken(err error) answer {
	if errors.Is(err, errTooLarge) {
		return answer{
			status: http.StatusRequestEntityTooLarge, kind: "too-large", denied: deniedTooLarge, title: "The message is too large",
			hint: "body_limit in the gate's configuration sets how large it may be",
		}
	}
	if errors.Is(err, errBusy) {
		return answer{
			status: http.StatusServiceUnavailable, kind: "busy", denied: deniedBusy, retryAfter: linger,
			title: "The gate holds as many messages as it may", hint: "Try again in a moment",
		}
	}
	if a, ok := x.body.problem(); ok {
		return a
	}
	return answer{status: http.StatusBadRequest, kind: "body-broken", denied: deniedMessage, title: "The body broke off"}
}

// glimpse notes what a short message on a plain route says, if that can be told,
// and refuses nothing.
func (x *exchange) glimpse() {
	if _, refused := unreadable(x.r.Header); refused || x.r.Method != http.MethodPost || x.r.ContentLength <= 0 || x.r.ContentLength > peeked {
		return
	}
	raw, err := io.ReadAll(x.r.Body)
	if err != nil {
		return // forward finds that, too
	}
	m, err := parse(raw)
	if x.message = m; err != nil {
		x.message = &message{raw: raw}
		return
	}
	x.tell(nil)
}

// codeMismatch is the code of MCP 2026-07-28 for fields that contradict the body.
const codeMismatch = -32020

// confirmed reports whether the fields that repeat what the body says do so, as
// MCP 2026-07-28 wants ("Request Metadata" of "Streamable HTTP"). They decide
// nothing here, but an upstream may go by them.
func (g *Gate) confirmed(x *exchange) bool {
	var method, name string
	named := false
	if m := x.message; !m.batch {
		method = m.calls[0].Method
		name, named = m.calls[0].named()
	}
	ok := repeats(x.r.Header["Mcp-Method"], method)
	if named {
		ok = ok && repeats(x.r.Header["Mcp-Name"], name)
	} else {
		ok = ok && len(x.r.Header["Mcp-Name"]) <= 1
		x.r.Header.Del("Mcp-Name") // the body has none that it could repeat
	}
	if !ok {
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "header-mismatch", denied: deniedHeader, code: codeMismatch,
			title: "Mcp-Method or Mcp-Name says another thing than the body",
		})
	}
	return ok
}

// named returns what Mcp-Name repeats: what the message is about, or its task.
func (c *call) named() (string, bool) {
	if strings.HasPrefix(c.Method, "tasks/") {
		return listing.Name(c.Params, "taskId")
	}
	if len(c.about) != 1 {
		return "", false
	}
	return c.about[0].name, true
}

// repeats reports whether a field, if there is one, says what the body says: as
// it is, or in base64 ("Value Encoding" there).
func repeats(values []string, said string) bool {
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	if values[0] == said {
		return true
	}
	coded, ok := strings.CutPrefix(values[0], "=?base64?")
	coded, end := strings.CutSuffix(coded, "?=")
	plain, err := base64.StdEncoding.DecodeString(coded)
	return ok && end && err == nil && string(plain) == said
}
