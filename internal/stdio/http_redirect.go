package stdio

import (
	"net/http"
	"net/url"
	"strings"
)

// mostHops is how many redirects of one request are followed.
const mostHops = 3

// mostLocation is how long a URL may be that the client's user is told.
const mostLocation = 512

// moved returns where the server wants a request repeated as it is, nil if it
// does not, or if that would take what the request carries to another origin.
func moved(from *url.URL, res *http.Response) *url.URL {
	if res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return nil
	}
	to := location(from, res.Header)
	if to == nil || !sameOrigin(from, to) {
		return nil
	}
	to.Host = from.Host // however it was written
	return to
}

// location returns what the Location field says, nil if it says nothing that
// can be asked.
func location(from *url.URL, h http.Header) *url.URL {
	said := h["Location"]
	if len(said) != 1 || said[0] == "" {
		return nil
	}
	to, err := from.Parse(said[0])
	if err != nil || to.Host == "" || to.User != nil || to.Opaque != "" {
		return nil
	}
	to.Fragment, to.RawFragment = "", ""
	return to
}

// sameOrigin compares scheme, host and port. A host that is not ASCII is the
// same as none: there is more than one way to read it.
func sameOrigin(a, b *url.URL) bool {
	return visible(b.Host, mostLocation) && a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// settle remembers where the server is: the next request goes there at once.
func (s *streamable) settle(target *url.URL) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = target
}

// shown returns u as it may be told: without a query, which may be secret.
func shown(u *url.URL) string {
	if u == nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	text := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if !visible(text, mostLocation) {
		return ""
	}
	return text
}
