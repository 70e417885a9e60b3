package clientenv

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// loopback is in every NO_PROXY. Clients are divided on whether an IPv6
// address has brackets there.
var loopback = [...]string{"localhost", "127.0.0.1", "::1", "[::1]"}

// without returns the entries of several NO_PROXY as one, those left out that
// cover one of the authorities, and loopback's put in. A loopback host that is
// itself one of the authorities is not put in: its rule would have no effect.
func without(authorities []string, lists ...string) (kept string, lifted []string) {
	covers := func(entry string) bool {
		return slices.ContainsFunc(authorities, func(a string) bool { return covers(entry, a) })
	}
	var keep []string
	for _, list := range lists {
		for _, entry := range entries(list) {
			switch {
			case slices.Contains(keep, entry) || slices.Contains(lifted, entry):
			case covers(entry):
				lifted = append(lifted, entry)
			default:
				keep = append(keep, entry)
			}
		}
	}
	for _, host := range loopback {
		if !slices.Contains(keep, host) && !covers(host) {
			keep = append(keep, host)
		}
	}
	return strings.Join(keep, ","), lifted
}

// entries splits a NO_PROXY as the most liberal clients do.
func entries(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' })
}

// covers reports whether any client that reads NO_PROXY would take the entry
// as covering the authority, which is a canonical host:port. They differ in
// what a leading dot, a wildcard, a port, a range or a scheme means: to lift
// an entry too many costs a tunnel, to leave one too many the token.
func covers(entry, authority string) bool {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return false
	}
	pattern := strings.ToLower(entry)
	if scheme, rest, ok := strings.Cut(pattern, "://"); ok { // as httpx has it
		if scheme != "https" && scheme != "all" {
			return false
		}
		pattern, _, _ = strings.Cut(rest, "/")
	}
	addr, err := netip.ParseAddr(host)
	if prefix, bad := netip.ParsePrefix(pattern); bad == nil {
		return err == nil && prefix.Contains(addr)
	}
	if p, ok := parseAddr(pattern); ok {
		return err == nil && p == addr.Unmap()
	}
	if h, p, bad := net.SplitHostPort(pattern); bad == nil {
		if p != port && p != "" && p != "*" {
			return false
		}
		pattern = h
	}
	if p, ok := parseAddr(pattern); ok {
		return err == nil && p == addr.Unmap()
	}
	return coversName(pattern, host)
}

// coversName is covers for what is neither an address nor a range.
func coversName(pattern, host string) bool {
	pattern = strings.TrimSuffix(pattern, ".")
	// "*.example" and ".example" mean the domain itself too, to some clients.
	domain := strings.TrimPrefix(strings.TrimPrefix(pattern, "*"), ".")
	if strings.Contains(domain, "*") {
		return glob(domain, host) || glob("*."+domain, host)
	}
	return pattern != "" && (domain == "" || domain == host || strings.HasSuffix(host, "."+domain) ||
		// "*example", with no dot, is a suffix of any kind.
		pattern == "*"+domain && strings.HasSuffix(host, domain))
}

// glob reports whether host fits pattern, in which a star is any text.
func glob(pattern, host string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	host, ok := strings.CutPrefix(host, first)
	if !ok || !star {
		return ok && host == ""
	}
	for {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(host, part)
		}
		_, host, ok = strings.Cut(host, part)
		if !ok {
			return false
		}
	}
}

// parseAddr reads an address with or without brackets.
func parseAddr(s string) (netip.Addr, bool) {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil
}
