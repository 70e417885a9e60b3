package source

import (
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// trip is what one acquisition saw of the network last. azidentity turns
// errors into text; here they are still errors.
type trip struct {
	mu   sync.Mutex
	host string // that was asked last
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

func (t *trip) note(host string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.host, t.err = host, err
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
	host := req.Raw().URL.Host
	t.note(host, nil)
	resp, err := req.Next()
	t.note(host, err)
	return resp, err
}
