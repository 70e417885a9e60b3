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
)

// passes let browsers in that show no credential: a ticket, once, for a cookie.
// Only digests are kept, so that looking one up tells nothing by its time. Who
// guesses is not slowed down: 130 bits are not guessed, and whoever reaches the
// port could have that keep others out. It is safe for concurrent use.
type passes struct {
	name string // of the cookie: ports of one host share their cookies
	now  func() time.Time

	mu      sync.Mutex
	tickets []pass
	cookies []pass
}

// pass is what somebody was given who may come in.
type pass struct {
	digest [sha256.Size]byte
	until  time.Time
	used   bool // a ticket: it has let somebody in, and is good no more
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
	return append(kept, pass{digest: sha256.Sum256([]byte(value)), until: now.Add(life)})
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

// What has become of a ticket.
const (
	ticketWaits = "waits" // it is good
	ticketUsed  = "used"
	ticketVoid  = "void" // too old, or never given
)

// fate says what has become of a ticket.
func (p *passes) fate(ticket string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch i := p.find(p.tickets, ticket); {
	case i < 0:
		return ticketVoid
	case p.tickets[i].used:
		return ticketUsed
	}
	return ticketWaits
}

// enter takes a ticket and returns the cookie for it, nil if it is not good.
func (p *passes) enter(ticket string) *http.Cookie {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(p.tickets, ticket)
	if i < 0 || p.tickets[i].used {
		return nil
	}
	p.tickets[i].used = true
	value := rand.Text()
	p.cookies = p.add(p.cookies, value, cookieLife, maxCookies)
	return &http.Cookie{
		Name: p.name, Value: value, Path: "/", MaxAge: int(cookieLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
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
