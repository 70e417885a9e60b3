package stdio

import (
	"net/url"
)

// mostEndpoint is how long the URL may be that messages are sent to.
const mostEndpoint = 8 << 10

// endpoint takes where the server wants messages. What else it says stays in the
// stream's own origin, and so do the token and the messages.
func (t *stream) endpoint(at *url.URL, said string) {
	to, err := endpointOf(at, said)
	if err != nil {
		t.drop(err)
		return
	}
	o := t.s.o
	o.URL = to
	t.post = newHTTP(o, t.s.deliver)
	close(t.named)
}

// endpointOf resolves what the server says against where its stream comes from.
// Its errors quote neither path nor query: the id of the session is in there.
func endpointOf(at *url.URL, said string) (*url.URL, error) {
	if len(said) > mostEndpoint {
		return nil, ours("the server names a URL for messages that is longer than %d KiB", mostEndpoint>>10)
	}
	to, err := url.Parse(said)
	if err != nil || to.Opaque != "" || to.User != nil {
		return nil, ours("the server names a URL for messages that is none")
	}
	if to = at.ResolveReference(to); !sameOrigin(at, to) {
		return nil, ours("the server wants messages sent to another origin (%.255q instead of %.255q), which is not done", to.Scheme+"://"+to.Host, at.Scheme+"://"+at.Host)
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}
