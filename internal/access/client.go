package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Client is a named client of a shared instance. It shows its name as the user
// and the token in File as the password of the Basic scheme.
type Client struct {
	Name string
	File string // read for each connection's request, so that a new token is good at once
}

// WithClients returns a policy that also admits the given clients, each by its
// name and token. Whoever gives the name of one is that one or nobody: neither
// the credential nor the user of the process counts for it.
func (p *Policy) WithClients(clients []Client) *Policy {
	with := *p
	with.clients = make(map[string]Client, len(clients))
	for _, c := range clients {
		with.clients[c.Name] = c
	}
	return &with
}

// named returns which client the header names, "" if none, and why it is not
// that one.
func (p *Policy) named(header []string) (name string, err error) {
	for _, h := range header {
		user, password, ok := userPassword(h)
		c, known := p.clients[user]
		if !ok || !known {
			continue
		}
		if len(header) > 1 {
			return user, errors.New("several credentials were sent")
		}
		want, err := loadToken(c.File)
		if err != nil {
			return user, fmt.Errorf("the token of client %s cannot be read on the proxy's side", user)
		}
		if !want.is(password) {
			return user, fmt.Errorf("the token of client %s is wrong", user)
		}
		return user, nil
	}
	return "", nil
}

// loadToken returns the token in file, which everybody may not read.
func loadToken(file string) (Credential, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Credential{}, err
	}
	if !info.Mode().IsRegular() { // a pipe would keep the request waiting for a writer
		return Credential{}, errors.New("not a regular file")
	}
	if err := secret(info); err != nil {
		return Credential{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return Credential{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return Credential{}, err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if !wellFormed(value) {
		return Credential{}, errors.New("its content is not a token (32 or more of A-Z a-z 0-9 - _)")
	}
	return Credential{&value}, nil
}

// Check returns why c can never be admitted as things are, nil if it can.
func (c Client) Check() error {
	_, err := loadToken(c.File)
	if err != nil {
		return fmt.Errorf("client %s: %s: %w", c.Name, c.File, err)
	}
	return nil
}
