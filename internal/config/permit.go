package config

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/injectproxy/injectproxy/internal/match"
)

// permit reads what the CA may sign for: DNS domains, which include what lies
// below them, addresses and ranges. It returns them in canonical form.
func (t *table) permit(key string) []string {
	var permit []string
	for i, entry := range t.list(key) {
		at := t.elementAt(key, i)
		canonical, problem, hint := parsePermit(entry)
		if problem != "" {
			t.errorf(at, "%s: %s %s", t.name(key), show(entry), problem).Hint = hint
			continue
		}
		if suffix, icann := publicsuffix.PublicSuffix(canonical); suffix == canonical && !icann && strings.Contains(suffix, ".") {
			t.warnf(at, "%s: under %s each name belongs to somebody else; name your own", t.name(key), canonical)
		}
		permit = append(permit, canonical)
	}
	return permit
}

// parsePermit refuses what would let the CA speak for everybody.
func parsePermit(s string) (canonical, problem, hint string) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		switch {
		case prefix.Bits() == 0:
			return "", "covers every address", ""
		case prefix.Addr().Is4In6():
			v4 := netip.PrefixFrom(prefix.Addr().Unmap(), max(0, prefix.Bits()-96))
			return "", "is a range of IPv4 addresses written as IPv6", "write " + v4.Masked().String()
		case prefix.Addr().IsMulticast():
			return "", "is multicast", ""
		case prefix != prefix.Masked():
			return "", "has bits set beyond its length", "write " + prefix.Masked().String()
		}
		return prefix.String(), "", ""
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		if addr.Unmap().IsMulticast() {
			return "", "is multicast", ""
		}
		return addr.Unmap().String(), "", ""
	}
	switch name := strings.TrimLeft(s, "*."); {
	case strings.Trim(s, ".* ") == "":
		return "", "names no domain", ""
	case name != s:
		return "", "has a wildcard or a leading dot", "write " + strconv.Quote(name) + ", which includes the names below it"
	case strings.ContainsAny(s, "/:[]"):
		return "", "is not a DNS domain, an address or a range", "no scheme, no port, no path"
	}
	authority, err := match.Authority(s)
	if err != nil {
		return "", strings.TrimPrefix(err.Error(), "authority "), ""
	}
	host, _, _ := net.SplitHostPort(authority)
	if suffix, icann := publicsuffix.PublicSuffix(host); icann && suffix == host {
		return "", "is a public suffix, under which everybody registers names", "name your own domain"
	}
	return host, "", ""
}

// Permitted returns what the CA has to be able to sign for: DNS domains,
// addresses and ranges, sorted. It is ca.permit or, without that, the hosts of
// all rules and grants.
func (c *Config) Permitted() []string {
	if len(c.CA.Permit) > 0 {
		return slices.Sorted(slices.Values(c.CA.Permit))
	}
	hosts := map[string]bool{}
	for _, rule := range c.Rules {
		for _, prefix := range rule.Prefixes {
			hosts[hostOf(prefix)] = true
		}
	}
	for _, team := range c.Teams {
		for _, prefix := range team.Prefixes {
			hosts[hostOf(prefix)] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// hostOf returns the host as certificates have it.
func hostOf(p match.Prefix) string {
	host, _, _ := net.SplitHostPort(p.Authority())
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return host
}

// confine turns off the rules whose host lies outside ca.permit.
func (c *Config) confine(r *report) {
	if len(c.CA.Permit) == 0 {
		return
	}
	for i := range c.Rules {
		rule := &c.Rules[i]
		for _, prefix := range rule.Prefixes {
			if host := hostOf(prefix); rule.Off == "" && !permits(c.CA.Permit, host) {
				rule.Off = "its host " + host + " lies outside ca.permit"
				r.errorf(rule.Pos, "rule %s is off: %s", rule.Name, rule.Off).hint("add %q to permit in [ca] of %s", host, c.File)
			}
		}
	}
}

func permits(permit []string, host string) bool {
	addr, notAddr := netip.ParseAddr(host)
	return slices.ContainsFunc(permit, func(entry string) bool {
		if notAddr != nil {
			return host == entry || strings.HasSuffix(host, "."+entry)
		}
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			return prefix.Contains(addr)
		}
		return entry == addr.String()
	})
}
