package entratest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// deviceCodeLifetime is how long a person has to sign in.
const deviceCodeLifetime = 15 * time.Minute

// deviceCodes holds the sign-ins that were begun and the refresh tokens that
// came of them. The zero deviceCodes is ready for use.
type deviceCodes struct {
	mu      sync.Mutex
	pending []*deviceCode
	refresh map[string]session // by refresh token
}

// deviceCode is one sign-in (RFC 8628).
type deviceCode struct {
	session
	code, userCode string
	expiry         time.Time
	declined       bool
}

// session is who signed in to what. Its user is nil until then.
type session struct {
	tenant, client string
	home           string // tenant that the user belongs to: that of the sign-in
	user           *User
	scope          string // that is granted to a request which names none
}

// newSession returns the session of somebody who is about to sign in.
func (a *Authority) newSession(tenant string, client *Client) session {
	tenant = strings.ToLower(tenant)
	if anyTenant(tenant) {
		tenant = a.tenants[0]
	}
	return session{tenant: tenant, home: tenant, client: client.ID}
}

// SignIn completes the device code sign-in that showed userCode, as the
// person would on the page they are sent to.
func (a *Authority) SignIn(userCode string, user User) error {
	return a.devices.decide(userCode, func(d *deviceCode) { d.user = &user })
}

// Decline ends the device code sign-in that showed userCode with the person's
// refusal.
func (a *Authority) Decline(userCode string) error {
	return a.devices.decide(userCode, func(d *deviceCode) { d.declined = true })
}

func (s *deviceCodes) decide(userCode string, decision func(*deviceCode)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.pending {
		if d.userCode == userCode {
			decision(d)
			return nil
		}
	}
	return fmt.Errorf("simulated authority: nobody was shown the code %q", userCode)
}

// device answers the endpoint that begins a sign-in.
func (a *Authority) device(_ *http.Request, seen Request) (any, *Failure) {
	client := a.findClient(seen.Client)
	if client == nil {
		return nil, failWith(700016)
	}
	if _, _, failure := a.delegatedScope(seen.Scope); failure != nil {
		return nil, failure
	}
	d := &deviceCode{
		session:  a.newSession(seen.Tenant, client),
		code:     randomID(),
		userCode: strings.ToUpper(randomID()[:9]),
		expiry:   a.now().Add(deviceCodeLifetime),
	}
	d.scope = seen.Scope
	a.devices.mu.Lock()
	a.devices.pending = append(a.devices.pending, d)
	a.devices.mu.Unlock()
	page := a.url + "/devicelogin"
	return map[string]any{
		"device_code": d.code, "user_code": d.userCode, "verification_uri": page,
		"expires_in": seconds(deviceCodeLifetime), "interval": 5,
		"message": fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, d.userCode),
	}, nil
}

// redeemDevice answers a client that polls for the end of a sign-in.
func (a *Authority) redeemDevice(r *http.Request, seen Request, client *Client) (any, *Failure) {
	s, failure := a.devices.poll(r.PostForm.Get("device_code"), client.ID, a.now())
	if failure != nil {
		return nil, failure
	}
	return a.respondUser(r, seen, client, s)
}

func (s *deviceCodes) poll(code, client string, now time.Time) (who session, failure *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, d := range s.pending {
		switch {
		case d.code != code || d.client != client:
		case d.declined:
			return session{}, failWith(65004)
		case d.user != nil:
			s.pending = slices.Delete(s.pending, i, i+1) // it is good for one token
			return d.session, nil
		case now.After(d.expiry):
			return session{}, failWith(70020)
		default:
			return session{}, failWith(70016)
		}
	}
	return session{}, failWith(70000)
}

// remember returns a new refresh token for who.
func (s *deviceCodes) remember(who session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refresh == nil {
		s.refresh = make(map[string]session)
	}
	token := "1." + randomID() + randomID()
	s.refresh[token] = who
	return token
}

// recall returns whom a refresh token belongs to. It stays valid, as
// Entra's do: a client may lose the answer with the next one.
func (s *deviceCodes) recall(token string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, ok := s.refresh[token]
	return who, ok
}
