package verify

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

const publicAuthority = "https://login.microsoftonline.com"

// withDefaults returns o with its defaults, ids in lower case, or what is wrong
// with it.
func (o Options) withDefaults() (Options, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Authority == "" {
		o.Authority = publicAuthority
	}
	o.Authority = strings.TrimSuffix(o.Authority, "/")
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"RS256"}
	}
	var err error
	if o.Tenants, err = guids("tenant", o.Tenants); err != nil {
		return o, err
	}
	if o.Clients, err = guids("client", o.Clients); err != nil {
		return o, err
	}
	return o, o.check()
}

// check says what is wrong with o.
func (o Options) check() error {
	u, err := url.Parse(o.Authority)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil:
		return fmt.Errorf("the authority has to be https:// and a host, not %q", o.Authority)
	case len(o.Tenants) == 0:
		return errors.New("at least one tenant is needed")
	case len(o.Audiences) == 0:
		return errors.New("at least one audience is needed")
	}
	for _, a := range o.Audiences {
		if !plain(a) {
			return fmt.Errorf("the audience %q has to be of visible ASCII, without quotes and backslashes", a)
		}
	}
	for _, a := range o.Algorithms {
		if !slices.Contains([]string{"RS256", "ES256"}, a) {
			return fmt.Errorf("the algorithm has to be RS256 or ES256, not %q", a)
		}
	}
	return nil
}

// guids returns ids in lower case.
func guids(what string, ids []string) ([]string, error) {
	lower := make([]string, 0, len(ids))
	for _, id := range ids {
		if !isGUID(id) {
			return nil, fmt.Errorf("the %s id has to be a GUID, not %q", what, id)
		}
		lower = append(lower, strings.ToLower(id))
	}
	return lower, nil
}

// plain reports whether s can stand in a quoted string of a header as it is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}

// isGUID reports whether s is 32 hex digits in five groups.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20 // lower case
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case '0' <= s[i] && s[i] <= '9' || 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}
