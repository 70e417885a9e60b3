package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// telling is a segment of a path that names something. One that has digits in it
// may be the id of a session.
var telling = regexp.MustCompile(`^[A-Za-z_-]{1,24}$`)

// place returns where a server wants messages, as it may be told: paths and
// queries often hold the id of the session.
func (t inward) place(u *url.URL) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	switch {
	case first == "":
		return originOf(u) + "/"
	case !telling.MatchString(first):
		return originOf(u) + "/…"
	case rest == "":
		return originOf(u) + "/" + first
	}
	return originOf(u) + "/" + first + "/…"
}

// remedy returns what a user can do for messages that no rule covers.
func (t inward) remedy(why match.Reason, r *http.Request) string {
	switch {
	case why == match.NoMethod:
		return "add " + r.Method + " to the methods of the rule"
	case why != match.NoPrefix && why != match.NoAuthority:
		return "" // no rule helps
	case originOf(r.URL) != originOf(t.server):
		return "give the URL of that server, if it is the one you mean"
	}
	return "add a rule whose prefix covers the messages, too, such as " + t.above(r.URL) + ", or --audience NAME, which covers all of " + t.server.Host
}

// above returns the longest prefix that covers the server and u.
func (t inward) above(u *url.URL) string {
	a, b := t.server.EscapedPath(), u.EscapedPath()
	last := 0
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			last = i
		}
	}
	return originOf(t.server) + a[:last] + "/"
}

func originOf(u *url.URL) string {
	return "https://" + strings.TrimSuffix(u.Host, ":443")
}
