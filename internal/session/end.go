package session

import "net/http"

// end is the client's DELETE: the session is never put in place again, whatever
// the server says.
func (x *exchange) end() (*http.Response, error) {
	x.s.mu.Lock()
	first := !x.s.ended
	x.s.ended = true
	at := x.s.view()
	x.s.mu.Unlock()
	if first {
		x.note(Event{Kind: Ended})
	}
	res, err := x.send(at)
	if err == nil && (res.StatusCode < 300 || res.StatusCode == http.StatusNotFound) {
		x.t.o.Book.forget(x.s)
	}
	return x.pass(res, err)
}
