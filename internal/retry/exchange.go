package retry

import (
	"errors"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/token"
)

// exchange is one request of a client, with what is needed to send it twice.
type exchange struct {
	next http.RoundTripper
	req  *http.Request
	use  *token.Use
	body *replay.Body
}

func (t *transport) exchange(req *http.Request, use *token.Use) *exchange {
	return &exchange{next: t.next, req: req, use: use, body: replay.Hold(req, t.o.BodyLimit, t.o.Memory)}
}

// send makes one attempt.
func (e *exchange) send() (*http.Response, error) {
	attempt, err := e.body.Attempt()
	if err != nil {
		return nil, err
	}
	resp, err := e.next.RoundTrip(attempt)
	if resp != nil {
		resp.Request = e.req
	}
	return resp, err
}

// flaw says why the body cannot be sent again, if it cannot.
func (e *exchange) flaw() outcome {
	switch err := e.body.Flaw(); {
	case err == nil:
		return none
	case errors.Is(err, replay.ErrTooLarge):
		return bodyTooLarge
	case errors.Is(err, replay.ErrNoRoom):
		return memoryBudget
	}
	return bodyBroken
}
