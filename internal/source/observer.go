package source

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// trip is what one acquisition saw of the network last. azidentity turns
// errors into text; here they are still errors.
type trip struct {
	mu   sync.Mutex
	host string // that was asked last
	tls  bool   // by https, as identity services are and managed identities are not
	err  error  // why it did not answer, nil if it did
}

func (t *trip) last() (host string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.host == "" {
		return "the identity service", nil
	}
	return t.host, t.err
}

// managed reports whether a token that came of the trip is a managed
// identity's: those alone come in the clear, or from a cache that is the
// process's and needs no request.
func (t *trip) managed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.tls
}

func (t *trip) note(u *url.URL, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.host, t.tls, t.err = u.Host, u.Scheme == "https", err
}

type tripKey struct{}

// observer writes down on the context's trip what each request came to. It
// sees no body.
type observer struct{}

func (observer) Do(req *policy.Request) (*http.Response, error) {
	t, ok := req.Raw().Context().Value(tripKey{}).(*trip)
	if !ok {
		return req.Next()
	}
	t.note(req.Raw().URL, nil)
	resp, err := req.Next()
	t.note(req.Raw().URL, err)
	return resp, err
}
