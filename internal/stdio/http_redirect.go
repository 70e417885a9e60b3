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

// place returns where the server is, as far as that is known, and whether it has
// said that for good.
func (s *streamable) place() (target *url.URL, lasting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target, s.target == s.home
}

// settle remembers where the server is: the next request goes there at once. That
// is for good where each redirect on the way was a 308 (RFC 9110, 15.4.9), and
// otherwise until a session begins or the server is not there any more.
func (s *streamable) settle(target *url.URL, lasting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = target
	if lasting {
		s.home = target
	}
}

// forget has the next request ask anew where the server is, if that was said for
// a while only, and reports whether it was. A nil target is any.
func (s *streamable) forget(target *url.URL) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target == s.home || target != nil && target != s.target {
		return false
	}
	s.target = s.home
	return true
}

// isGone reports whether an answer is that of a place where the server may not be
// any more.
func isGone(status int) bool {
	return unknown(status) || status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout
}

// unknown reports whether such an answer says that nothing was done.
func unknown(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

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
