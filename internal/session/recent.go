package session

// mostRecent is how many strings a recent keeps.
const mostRecent = 256

// recent is a set of strings that forgets the oldest. The zero value is ready.
type recent struct {
	known map[string]bool
	order []string // a ring, once it is full
	next  int
}

func (r *recent) add(s string) {
	if r.known[s] {
		return
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	r.known[s] = true
	if len(r.order) < mostRecent {
		r.order = append(r.order, s)
		return
	}
	delete(r.known, r.order[r.next])
	r.order[r.next] = s
	r.next = (r.next + 1) % mostRecent
}

func (r *recent) has(s string) bool { return r.known[s] }
