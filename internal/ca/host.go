package ca

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

var errMulticast = errors.New("is multicast: no server has such an address")

// parseHost returns host in the one spelling that certificates, the cache of
// leaves and the constraints share: a DNS name in lower-case ASCII without a
// trailing dot, or an IP address with IPv4 in its own form.
func parseHost(host string) (name string, ip netip.Addr, err error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		switch {
		case ip.Zone() != "":
			return "", netip.Addr{}, errors.New("an address with a zone has no place in a certificate")
		case ip.Unmap().IsMulticast():
			return "", netip.Addr{}, errMulticast
		}
		return "", ip.Unmap(), nil
	}
	name = strings.TrimSuffix(host, ".")
	if !isASCII(name) {
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", netip.Addr{}, errors.New("not a DNS name")
		}
	}
	name = strings.ToLower(name)
	return name, netip.Addr{}, checkName(name)
}

// checkName holds names to what all verifiers read alike. Underscores are no
// host names by RFC 1123, but private networks use them.
func checkName(name string) error {
	if strings.Contains(name, "*") {
		return errors.New("no wildcards: a domain covers every name under it")
	}
	if name == "" || len(name) > 253 {
		return errors.New("not a DNS name: empty or longer than 253 bytes")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return errors.New("not a DNS name: an empty label or one longer than 63 bytes")
		}
		if strings.ContainsFunc(label, notInName) {
			return errors.New("not a DNS name, IP address or IP range")
		}
	}
	if isNumber(labels[len(labels)-1]) {
		// Browsers and C libraries read such a name as an IPv4 address.
		return errors.New("ends in a number but is no IP address")
	}
	return nil
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
