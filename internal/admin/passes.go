package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	ticketLife = 30 * time.Second
	cookieLife = 12 * time.Hour
	maxTickets = 16 // the oldest of more is void
	maxCookies = 32 // likewise

	guesses = 20 // wrong tickets at once; one more each second
)

// passes let browsers in that show no credential: a ticket, once, for a cookie.
// Only digests are kept, so that looking one up tells nothing by its time. It is
// safe for concurrent use.
type passes struct {
	name string // of the cookie: ports of one host share their cookies
	now  func() time.Time

	mu      sync.Mutex
	tickets []pass
	cookies []pass
	wrong   float64 // tickets that were wrong lately
	counted time.Time
}

// pass is what somebody was given who may come in.
type pass struct {
	digest [sha256.Size]byte
	until  time.Time
}

func newPasses(addr net.Addr, now func() time.Time) *passes {
	_, port, _ := net.SplitHostPort(addr.String())
	return &passes{name: "injectproxy-" + port, now: now}
}

// ticket returns a new ticket.
func (p *passes) ticket() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := rand.Text()
	p.tickets = p.add(p.tickets, value, ticketLife, maxTickets)
	return value
}

// add returns list without what is over, and with a pass of the given value.
func (p *passes) add(list []pass, value string, life time.Duration, most int) []pass {
	now := p.now()
	kept := list[:0]
	for _, x := range list {
		if now.Before(x.until) {
			kept = append(kept, x)
		}
	}
	if len(kept) >= most {
		kept = append(kept[:0], kept[len(kept)-most+1:]...)
	}
	return append(kept, pass{sha256.Sum256([]byte(value)), now.Add(life)})
}

// find returns where in list the live pass of the given value is, or -1.
func (p *passes) find(list []pass, value string) int {
	digest, now, at := sha256.Sum256([]byte(value)), p.now(), -1
	for i, x := range list {
		if subtle.ConstantTimeCompare(x.digest[:], digest[:]) == 1 && now.Before(x.until) {
			at = i
		}
	}
	return at
}

// enter takes a ticket and returns the cookie for it. Slow says that too many
// were wrong lately for one to be looked at.
func (p *passes) enter(ticket string) (cookie *http.Cookie, known, slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.wrong = max(0, p.wrong-now.Sub(p.counted).Seconds())
	p.counted = now
	if p.wrong > guesses-1 {
		return nil, false, true
	}
	i := p.find(p.tickets, ticket)
	if i < 0 {
		p.wrong++
		return nil, false, false
	}
	p.tickets = append(p.tickets[:i], p.tickets[i+1:]...)
	value := rand.Text()
	p.cookies = p.add(p.cookies, value, cookieLife, maxCookies)
	return &http.Cookie{
		Name: p.name, Value: value, Path: "/", MaxAge: int(cookieLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}, true, false
}

// has reports whether r shows a cookie of ours, and only one.
func (p *passes) has(r *http.Request) bool {
	shown := r.CookiesNamed(p.name)
	if len(shown) != 1 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(p.cookies, shown[0].Value) >= 0
}
