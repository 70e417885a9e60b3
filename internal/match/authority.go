package match

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Authority returns the canonical form of host[:port], in which two
// authorities are the same if and only if they are equal: lower case, A-labels
// (RFC 5891, UTS 46 non-transitional), no trailing dot, IPv6 in brackets and
// in the form of RFC 5952, the port always there, 443 if none was given.
//
// It refuses what is not a DNS name or an address that all programs read
// alike: userinfo, escapes, zones, IPv4 in short, octal or hexadecimal form,
// ports that are empty, out of range or begin with a zero. Underscores are
// accepted, as resolvers do.
func Authority(hostport string) (string, error) {
	authority, problem := canonical(hostport)
	if problem != "" {
		return "", errors.New("authority " + problem)
	}
	return authority, nil
}

// canonical is [Authority] with the problem as a predicate, for a subject of
// the caller's choice. It repeats no part of hostport, which may be a password.
func canonical(hostport string) (authority, problem string) {
	if strings.Contains(hostport, "@") {
		return "", "has userinfo"
	}
	host, port, problem := splitPort(hostport)
	if problem != "" {
		return "", problem
	}
	if strings.HasPrefix(host, "[") {
		host, problem = canonicalIPv6(host)
	} else {
		host, problem = canonicalName(host)
	}
	if problem != "" {
		return "", problem
	}
	if rest, ok := strings.CutPrefix(hostport, host); ok && rest != "" && rest[0] == ':' && rest[1:] == port {
		return hostport, "" // as it is on most requests: that costs no memory
	}
	return host + ":" + port, ""
}

func splitPort(hostport string) (host, port, problem string) {
	colon := strings.LastIndexByte(hostport, ':')
	if colon < strings.LastIndexByte(hostport, ']') || colon < 0 {
		return hostport, "443", ""
	}
	host, port = hostport[:colon], hostport[colon+1:]
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", "", "has an IPv6 address without brackets, or two ports"
	}
	// ParseUint alone would take a leading zero, which URL parsers treat in
	// different ways.
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || port[0] == '0' {
		return "", "", "has a port that is not a number from 1 to 65535"
	}
	return host, port, ""
}

func canonicalIPv6(host string) (canonical, problem string) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	switch {
	case err != nil || !addr.Is6() || !strings.HasSuffix(host, "]"):
		return "", "has brackets around what is not an IPv6 address"
	case addr.Zone() != "":
		return "", "has an IPv6 zone"
	}
	return "[" + addr.String() + "]", ""
}

func canonicalName(host string) (canonical, problem string) {
	switch {
	case host == "":
		return "", "has no host"
	case strings.Contains(host, "*"):
		return "", "has a wildcard"
	}
	if !ascii(host) {
		// idna reads invalid UTF-8 as U+FFFD and goes on.
		name, err := idna.Lookup.ToASCII(host)
		if err != nil || !utf8.ValidString(host) {
			return "", "has a host that is not a valid internationalised name"
		}
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if problem := notName(host); problem != "" {
		return "", problem
	}
	if numeric(host[strings.LastIndexByte(host, '.')+1:]) {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", "has a host that looks like an IPv4 address but is not one in full decimal form"
		}
	}
	return host, ""
}

// notName says why host is no DNS name (RFC 1035 lengths; letters, digits,
// hyphen and underscore).
func notName(host string) string {
	if len(host) > 253 {
		return "has a host longer than 253 bytes"
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return "has a host with an empty label or one longer than 63 bytes"
		}
		for i := range len(label) {
			if c := label[i]; !alphanumeric(c) && c != '-' && c != '_' {
				return "has a character in its host that no host name has"
			}
		}
	}
	return ""
}

// numeric reports whether URL parsers take a host with this last label for an
// IPv4 address (WHATWG URL, "ends in a number").
func numeric(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		if c := digits[i]; c > '9' && !(hex && unhex(c) >= 0) || c < '0' {
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
