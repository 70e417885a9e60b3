package source

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/aadsts"
	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	defaultName = "default"

	// metadataHost is where a virtual machine finds its managed identity, and
	// where other clouds have their own metadata service.
	metadataHost = "169.254.169.254"

	// maxRetryAfter bounds what an identity service may ask for.
	maxRetryAfter = time.Hour
)

// ErrNoCredential is wrapped by the error of a [Default] that found nothing to
// authenticate with: another source may try.
var ErrNoCredential = errors.New("no credential is configured")

var untrusted = reason{token.Misconfigured, "the identity service's certificate is not trusted",
	"add the certificate authority of the proxy or firewall in between to upstream_ca"}

// failure says why no token came. err is only searched: its text quotes
// responses.
func (d *Default) failure(ctx context.Context, err error, seen *trip) error {
	if ctx.Err() != nil {
		return d.ended(ctx, seen)
	}
	host, netErr := seen.last()
	failed, answered := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if answered && failed.RawResponse != nil {
		return d.refused(failed.RawResponse)
	}
	if code := aadsts.First(err.Error()); code != 0 {
		return d.coded(code)
	}
	if r, ok := sign(err.Error()); ok {
		return d.fail(r)
	}
	switch {
	case !answered:
		return d.unconfigured()
	case host == metadataHost:
		return d.none(noMetadata("an answer that is none"))
	case netErr != nil:
		return d.unreachable(host, netErr)
	case unreadable(os.Getenv("AZURE_FEDERATED_TOKEN_FILE")):
		return d.fail(reason{token.Misconfigured, "the file in AZURE_FEDERATED_TOKEN_FILE cannot be read", "check AZURE_FEDERATED_TOKEN_FILE"})
	}
	return d.fail(reason{token.Unknown, "the answer of " + host + " was not understood", checkRoute})
}

// noMetadata is the reason when what answers at the metadata service's address
// gives no token. That it answers at all says little: other clouds have
// services of their own there.
func noMetadata(answer string) reason {
	return reason{token.Misconfigured, "the metadata service of this machine gave no token (" + answer + ")",
		"assign a managed identity to this machine, with AZURE_CLIENT_ID if there are several; or " + setVariables}
}

// errLimit is the cause of a context that this source has ended by its limit.
var errLimit = errors.New("the limit of one acquisition")

// ended is the failure of a call whose context is over.
func (d *Default) ended(ctx context.Context, seen *trip) error {
	host, _ := seen.last()
	if host == metadataHost && errors.Is(context.Cause(ctx), errLimit) {
		return d.none(noMetadata("no answer in time"))
	}
	message, err := host+" did not answer in time", ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) { // the caller has left, or the source was closed
		message, err = host+" is no longer waited for", context.Canceled
	}
	e := d.fail(reason{token.Transient, message, checkRoute})
	e.Err = err
	return e
}

// refused is the failure that an authority or a managed identity's endpoint
// answered with.
func (d *Default) refused(resp *http.Response) error {
	body, _ := runtime.Payload(resp) // cached by azidentity; no body, no code
	e := d.answer(resp, aadsts.Of(body))
	e.RetryAfter = retryAfter(resp.Header, time.Now())
	return e
}

func (d *Default) answer(resp *http.Response, code int) *token.Error {
	status := "HTTP " + strconv.Itoa(resp.StatusCode)
	host, managed := "the identity service", false
	if resp.Request != nil {
		host, managed = resp.Request.URL.Host, resp.Request.URL.Scheme == "http"
	}
	known := explain(code).class != token.Unknown
	busy := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
	switch {
	case known, code != 0 && !busy:
		return d.coded(code)
	case busy:
		return d.fail(reason{token.Transient, host + " is busy or down (" + status + ")", tryLater})
	case host == metadataHost:
		return d.none(noMetadata(status))
	case managed:
		return d.fail(reason{token.Misconfigured, "the managed identity's endpoint gave no token (" + status + ")",
			"check that an identity is assigned, that AZURE_CLIENT_ID names it, and the audience"})
	}
	return d.fail(reason{token.Unknown, host + " refused (" + status + ")", checkRoute})
}

// unreachable is the failure to get any answer from host.
func (d *Default) unreachable(host string, err error) error { return d.fail(unreached(host, err)) }

// unreached says why host gave no answer.
func unreached(host string, err error) reason {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return reason{untrusted.class, host + "'s certificate is not trusted", untrusted.hint}
	}
	r := reason{token.Transient, host + " cannot be reached", checkRoute}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		r.message = host + " cannot be resolved"
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		r.message = host + " did not answer in time"
	}
	return r
}

// unconfigured is the failure of a chain that had nothing to try.
func (d *Default) unconfigured() *token.Error {
	r, whole := unconfigured()
	if !whole {
		return d.none(r)
	}
	e := d.fail(r)
	e.Stale = func() bool { return true } // whoever replaces a file does not tell
	return e
}

func (d *Default) none(r reason) *token.Error {
	e := d.fail(r)
	e.Err = ErrNoCredential
	return e
}

func (d *Default) coded(code int) *token.Error {
	e := d.fail(explain(code))
	e.Code = aadsts.Name(code)
	return e
}

func (d *Default) fail(r reason) *token.Error {
	login := loginCommand(d.entra.Tenant, d.scope)
	return &token.Error{Class: r.class, Source: defaultName, Message: r.message, Hint: strings.ReplaceAll(r.hint, "{login}", login)}
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
