package source

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

// What a [Person]'s failures mean when no AADSTS code says it.
var (
	nobody    = reason{token.SignIn, "nobody has signed in, or the sign-in is over", "{login}"}
	expired   = reason{token.SignIn, "nobody signed in in time", "{login}"}
	abandoned = reason{token.Transient, "the sign-in was broken off", "{login}"}
	declined  = reason{token.Declined, "the sign-in was declined", "{login}"}
	noBrowser = reason{token.NotInstalled, "no browser could be opened", `add "device-code" to the sources of the audience`}
	strange   = reason{token.Unknown, "the sign-in failed", "{login}"}
	garbled   = reason{token.Unknown, "the claims challenge is none that Entra makes", "report it to the API's owner"}
	unusable  = reason{token.Unknown, "the identity service sent a token that no header may carry", checkRoute}
	panicked  = reason{token.Unknown, "azidentity panicked", "report it, with the version that injectproxy version prints"}
)

// hearing is what one acquisition heard of the authority last. azidentity
// drops that: whatever goes wrong with a refresh token becomes one and the same
// error, and what it says after a device code is read away.
type hearing struct {
	trip
	mu       sync.Mutex
	asked    bool // for tokens
	status   int  // HTTP
	code     int  // AADSTS
	problem  string
	waitTime time.Duration // that the authority asks for
}

type hearingKey struct{}

// listener writes down on the context's hearing what the authority answers, the
// codes of it.
type listener struct{}

func (listener) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	if h, ok := req.Raw().Context().Value(hearingKey{}).(*hearing); ok && err == nil {
		h.hear(resp)
	}
	return resp, err
}

func (h *hearing) hear(resp *http.Response) {
	var problem struct {
		Error string `json:"error"`
	}
	code := 0
	if resp.StatusCode >= 400 {
		body, _ := runtime.Payload(resp) // downloaded already; no body, no code
		_ = json.Unmarshal(body, &problem)
		code = aadsts.Of(body)
	}
	status := resp.StatusCode
	if problem.Error == "authorization_pending" || problem.Error == "slow_down" {
		status, code = http.StatusOK, 0 // a person takes their time (RFC 8628, section 3.5)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = resp.Request != nil && resp.Request.Method == http.MethodPost
	h.status, h.code, h.problem = status, code, problem.Error
	h.waitTime = retryAfter(resp.Header, time.Now())
}

// refusal says why no token came silently.
func (p *Person) refusal(ctx context.Context, err error, h *hearing) *token.Error {
	if ctx.Err() != nil {
		return p.ended(ctx, h)
	}
	if e := p.heard(h); e != nil {
		return e
	}
	h.mu.Lock()
	asked := h.asked
	h.mu.Unlock()
	if _, ok := errors.AsType[*azidentity.AuthenticationRequiredError](err); ok && !asked {
		return p.fail(nobody)
	}
	return p.misunderstood(h)
}

// unfinished says why nobody signed in. err is only searched.
func (p *Person) unfinished(ctx context.Context, err error, h *hearing) *token.Error {
	if ctx.Err() != nil {
		return p.unattended(ctx)
	}
	if e := p.heard(h); e != nil {
		return e
	}
	text := err.Error()
	if code := aadsts.First(text); code != 0 {
		return p.coded(code)
	}
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(text, context.DeadlineExceeded.Error()):
		return p.fail(expired) // the device code has
	case p.name != browserName:
		return p.misunderstood(h)
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "exit status"):
		return p.fail(noBrowser)
	case strings.Contains(lower, "declined"), strings.Contains(lower, "denied"), strings.Contains(lower, "cancel"):
		return p.fail(declined)
	}
	return p.fail(strange)
}

// heard is the failure that the network or the authority reported, or nil.
func (p *Person) heard(h *hearing) *token.Error {
	host, netErr := h.last()
	if netErr != nil {
		return p.fail(unreached(host, netErr))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status < 400 {
		return nil
	}
	e := p.answered(host, h)
	e.RetryAfter = h.waitTime
	return e
}

// answered is the failure that host answered with. The hearing is locked.
func (p *Person) answered(host string, h *hearing) *token.Error {
	status := " (HTTP " + strconv.Itoa(h.status) + ")"
	busy := h.status == http.StatusTooManyRequests || h.status >= 500
	switch {
	case explain(h.code).class != token.Unknown:
		return p.coded(h.code)
	case h.problem == "expired_token", h.problem == "code_expired":
		return p.fail(expired)
	case h.problem == "access_denied", h.problem == "authorization_declined":
		return p.fail(declined)
	case busy:
		return p.fail(reason{token.Transient, host + " is busy or down" + status, tryLater})
	case h.code != 0:
		return p.coded(h.code)
	}
	return p.fail(reason{token.Unknown, host + " refused" + status, checkRoute})
}

func (p *Person) misunderstood(h *hearing) *token.Error {
	host, _ := h.last()
	return p.fail(reason{token.Unknown, "the answer of " + host + " was not understood", checkRoute})
}

// ended is the failure of an acquisition whose context is over.
func (p *Person) ended(ctx context.Context, h *hearing) *token.Error {
	host, _ := h.last()
	message := host + " did not answer in time"
	err := ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		message, err = host+" is no longer waited for", context.Canceled
	}
	e := p.fail(reason{token.Transient, message, checkRoute})
	e.Err = err
	return e
}

func (p *Person) coded(code int) *token.Error {
	e := p.fail(explain(code))
	e.Code = aadsts.Name(code)
	return e
}

func (p *Person) fail(r reason) *token.Error {
	return &token.Error{Class: r.class, Source: p.name, Message: r.message, Hint: strings.ReplaceAll(r.hint, "{login}", p.login)}
}
