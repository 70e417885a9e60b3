package gate

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// paced lets a test say when a handler goes on, by a name that the request
// carries.
type paced struct {
	name    string
	proceed chan struct{}
}

var (
	paces     sync.Map // name → channel
	paceNames atomic.Int64
)

func newPace(t *testing.T) paced {
	p := paced{name: strconv.FormatInt(paceNames.Add(1), 10), proceed: make(chan struct{})}
	paces.Store(p.name, p.proceed)
	t.Cleanup(func() { paces.Delete(p.name) })
	return p
}

// pace is received from when the test says so.
func pace(r *http.Request) <-chan struct{} {
	c, _ := paces.Load(r.Header.Get("X-Pace"))
	return c.(chan struct{})
}

// earlyHints returns r with what will be the Link of an answer 103 to it.
func earlyHints(r *http.Request) (*http.Request, *string) {
	link := new(string)
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		if status == http.StatusEarlyHints {
			*link = h.Get("Link")
		}
		return nil
	}}
	return r.WithContext(httptrace.WithClientTrace(r.Context(), trace)), link
}
