package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// answer reads the server's answer to a request, and closes it. It returns nil
// where there is nothing wrong with it, and the response may have come.
func (s *streamable) answer(ctx context.Context, res *http.Response, c *call) error {
	defer func() { res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return ofSession(refused(res), res.Request.Header)
	}
	if isInitialize(c.message) {
		if err := s.begun(res.Header); err != nil {
			return err
		}
	}
	kind := mediaType(res.Header)
	switch {
	case res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusAccepted && kind != typeJSON && kind != typeStream:
		return s.elsewhere(ctx, c)
	case coded(res.Header):
		return ours("the server sent its answer in a content coding (%.40q), which it was asked not to do", res.Header.Get("Content-Encoding"))
	case kind == typeJSON:
		return s.object(ctx, res, c)
	case kind == typeStream:
		return s.events(ctx, res, c)
	case kind == "":
		return ours("the server answered %s without a content type: is the URL an MCP endpoint?", statusText(res.StatusCode))
	}
	return ours("the server answered %s with %.100q, which is neither JSON nor an event stream: is the URL an MCP endpoint?", statusText(res.StatusCode), kind)
}

// object delivers an answer that is JSON.
func (s *streamable) object(ctx context.Context, res *http.Response, c *call) error {
	raw, leave, err := s.whole(ctx, res)
	defer leave()
	switch {
	case err != nil:
		return err
	case len(bytes.TrimSpace(raw)) > 0:
		err = s.hand(raw, c)
	case res.StatusCode == http.StatusAccepted:
		return s.elsewhere(ctx, c)
	default:
		return ours("the server answered %s with nothing in it: is the URL an MCP endpoint?", statusText(res.StatusCode))
	}
	switch {
	case isClosed(c.answered):
		return nil
	case err != nil:
		f := ours("what the server answered is not a JSON-RPC message: is the URL an MCP endpoint?")
		f.err = err
		return f
	}
	return ours("the server's answer has no response to this request in it; it may have been carried out")
}

// hand delivers what raw has: a message or, in MCP 2025-03-26, an array of such.
// Its error is the first of a message that is none.
func (s *streamable) hand(raw []byte, on *call) error {
	if b := bytes.TrimLeft(raw, " \t\r\n"); len(b) == 0 || b[0] != '[' || !json.Valid(b) {
		return s.one(raw, on)
	}
	var wrong error
	eachOf(raw, func(m []byte) error {
		if err := s.one(m, on); wrong == nil {
			wrong = err
		}
		return nil
	})
	return wrong
}

func (s *streamable) one(raw []byte, on *call) error {
	if on != nil && isInitialize(on.message) {
		s.negotiated(raw)
	}
	return s.deliver(raw, on)
}

// elsewhere waits for a response that the server has taken on itself to give
// later, which it can on the stream of its own messages alone.
func (s *streamable) elsewhere(ctx context.Context, c *call) error {
	s.mu.Lock()
	deaf := s.deaf
	s.mu.Unlock()
	if deaf != nil {
		select {
		case <-c.answered:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deaf:
		}
	}
	return ours("the server took the request without an answer, and there is no stream on which that could follow; it may have been carried out")
}

// coded reports whether a body cannot be read as it comes.
func coded(h http.Header) bool {
	coding := h.Get("Content-Encoding")
	return coding != "" && coding != "identity"
}

// ours returns an error in the bridge's own words.
func ours(format string, args ...any) *failure {
	return &failure{code: codeOurs, line: fmt.Sprintf(format, args...)}
}

// tooLarge says what became of a message that is not held.
func tooLarge() *failure {
	return ours("the server sent a message of more than %s MiB, which is not passed on; the request may have been carried out", strconv.Itoa(mostMessage>>20))
}

// broke says that the server has not answered to the end.
func broke(err error) *failure {
	f := ours("the connection to the server broke while it worked on this; it may have been carried out")
	f.err = err
	return f
}

var errEnded = errors.New("the answer ended without the response")
