package entratest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Consent lets an application act on behalf of users: Entra's delegated permission
// grant.
type Consent struct {
	Resource string   // API, by any of its names
	Scopes   []string // such as User.Read
	User     string   // object id of the one user it is for; "" means all: an administrator's
}

// consents is what was consented to since Start, by client id.
type consents struct {
	mu  sync.Mutex
	set map[string][]Consent
}

// SetConsents replaces what was consented to for a client: Client.Consents. nil means
// everything.
func (a *Authority) SetConsents(clientID string, list []Consent) error {
	client := a.findClient(clientID)
	if client == nil {
		return fmt.Errorf("simulated authority: no client %q", clientID)
	}
	if err := a.checkConsents(list); err != nil {
		return err
	}
	a.consents.mu.Lock()
	defer a.consents.mu.Unlock()
	if a.consents.set == nil {
		a.consents.set = make(map[string][]Consent)
	}
	a.consents.set[client.ID] = slices.Clone(list)
	return nil
}

// checkConsents refuses consents to what is not there.
func (d *directory) checkConsents(list []Consent) error {
	for _, c := range list {
		if d.findResource(c.Resource) == nil {
			return fmt.Errorf("simulated authority: consent to %q, which is no resource", c.Resource)
		}
	}
	return nil
}

// consentsOf returns what was consented to for a client. With everything set it is
// all there is.
func (a *Authority) consentsOf(client *Client) (list []Consent, everything bool) {
	a.consents.mu.Lock()
	defer a.consents.mu.Unlock()
	list, changed := a.consents.set[client.ID]
	if !changed {
		list = client.Consents
	}
	return list, list == nil
}

// consented returns the scopes that client gets of those it asked for on behalf of
// user: all of them, or with .default those that were consented to.
func (a *Authority) consented(client *Client, resource *Resource, user *User, scopes []string, asked string) ([]string, *Failure) {
	list, everything := a.consentsOf(client)
	if everything {
		return scopes, nil
	}
	var granted []string
	for _, c := range list {
		if a.findResource(c.Resource) == resource && (c.User == "" || strings.EqualFold(c.User, user.ObjectID)) {
			granted = append(granted, c.Scopes...)
		}
	}
	got := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !slices.Contains(granted, s) })
	if len(got) == 0 || len(got) < len(scopes) && !strings.Contains(asked, "/.default") {
		return nil, failWith(65001)
	}
	return got, nil
}
