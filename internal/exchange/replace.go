package exchange

import "time"

const (
	// maxReplaced is how many tokens of a user's Entra is asked for within
	// replacedWithin in place of one that an API has refused, whatever that asks for:
	// an API that refuses each has no say in how often Entra is asked. It could be
	// throttled else for all users of the gate's application.
	maxReplaced    = 3
	replacedWithin = 30 * time.Second

	proven = 10 * time.Second // a token with the claims asked for that is refused so soon was refused for what it is
)

// again is what became of asking for tokens in place of refused ones. Of the
// refusals the last is known, so that nobody's claims push out others' tokens.
type again struct {
	asked [maxReplaced]time.Time // the last times; zero: none

	query   key // that was refused
	refusal *Refusal
	until   time.Time // when the refusal is forgotten
}

func (a *again) last() time.Time { return a.asked[maxReplaced-1] }

func (a *again) spent(now time.Time) bool { return now.Sub(a.asked[0]) < replacedWithin }

func (a *again) refuse(q query, r *Refusal, now time.Time) {
	a.query, a.refusal, a.until = q.key, r, now.Add(r.remembered())
}

// replaced returns what another caller has already got in place of the token that
// was refused, or why there is nothing to get.
func (m *memory) replaced(q query, now time.Time) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instead(q, now)
}

// instead is replaced. The lock is held.
func (m *memory) instead(q query, now time.Time) answer {
	e := m.get(q.user)
	if e == nil {
		return answer{}
	}
	asked := q.key == e.query
	switch good := e.usable(now); {
	case good && e.token != q.refused && (asked || q.claims == ""):
		return answer{token: e.token}
	case good && e.token == q.refused && asked && q.claims != "" && now.Sub(e.issued) < proven:
		return answer{refusal: spurned("the API refuses tokens that have just been issued")}
	}
	spent := e.again.spent(now)
	switch {
	case e.again.refusal != nil && e.again.query == q.key && (spent || now.Before(e.again.until)):
		return answer{refusal: e.again.refusal}
	case q.claims == "" && now.Before(e.until):
		return answer{refusal: e.refusal}
	case spent:
		return answer{refusal: spurned("the API refuses one token after the other")}
	}
	return answer{}
}

// spend notes that Entra is asked for another token. The lock is held.
func (m *memory) spend(q query, now time.Time) {
	e := m.entry(q.user)
	copy(e.again.asked[:], e.again.asked[1:])
	e.again.asked[maxReplaced-1] = now
	m.put(e, now)
}

// same remembers that Entra has given the token again that was refused. It is as good
// as it was to other APIs' servers.
func (m *memory) same(q query, r *Refusal, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(q.user)
	e.again.refuse(q, r, now)
	m.put(e, now)
}

func spurned(what string) *Refusal {
	return &Refusal{Reason: Misconfigured, Detail: what + ": check that the scope of on_behalf_of is one of this API"}
}
