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

// enter exchanges a ticket for a cookie.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	tickets := r.URL.Query()["ticket"]
	if len(tickets) != 1 {
		tickets = []string{""}
	}
	cookie, known, slow := s.passes.enter(tickets[0])
	switch {
	case slow:
		w.Header().Set("Retry-After", "1")
		say(w, http.StatusTooManyRequests, "too many wrong tickets: try again in a moment")
	case !known:
		say(w, http.StatusForbidden, "this ticket was used, or is too old: run injectproxy status --open again")
	default:
		http.SetCookie(w, cookie)
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	}
}
