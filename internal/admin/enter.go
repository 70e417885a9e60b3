package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// open gives who is admitted a ticket for a browser that cannot show a
// credential. A cookie is not enough: it would live as long as its owner likes.
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	if err := s.admit(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	path := url.URL{Path: "/enter", RawQuery: url.Values{"ticket": {s.passes.ticket()}}.Encode()}
	json.NewEncoder(w).Encode(struct {
		Path string `json:"path"`
	}{path.String()})
}

// opened tells who is admitted what has become of a ticket, so that whoever
// sent a browser knows whether it came.
func (s *Server) opened(w http.ResponseWriter, r *http.Request) {
	if err := s.admit(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		Ticket string `json:"ticket"`
	}{s.passes.fate(shownTicket(r))})
}

// entered goes on to the page by itself. A redirect would not do: for a browser
// that a file or a page has led here all of it is that one's doing, and it would
// not show the cookie.
const entered = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=/">
<title>injectproxy</title>
<a href="/">Go on to the status page</a>
</html>
`

// enter exchanges a ticket for a cookie.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	cookie := s.passes.enter(shownTicket(r))
	if cookie == nil {
		say(w, http.StatusForbidden, "this ticket was used, or is too old: run injectproxy status --open again")
		return
	}
	http.SetCookie(w, cookie)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte(entered))
}

// shownTicket returns the ticket in r, which has to be one.
func shownTicket(r *http.Request) string {
	if tickets := r.URL.Query()["ticket"]; len(tickets) == 1 {
		return tickets[0]
	}
	return ""
}
