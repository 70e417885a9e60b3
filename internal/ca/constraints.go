package ca

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
)

// noIPv4 and noIPv6 stand in a list of permitted ranges for the family that
// has none. They are multicast, so no TCP peer has them.
var (
	noIPv4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 32)
	noIPv6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 128)
)

// constrain writes p into the template of a CA certificate. Of DNS names and
// of IP addresses, what is permitted in part gets the list and no exclusion,
// as an exclusion would win over it; what is not permitted at all is excluded
// whole, as silence would permit all of it.
//
// Verifiers differ on IP addresses. To GnuTLS the two families are separate,
// so a list of IPv4 ranges leaves all of IPv6 permitted. To Java they are one,
// and excluding ::/0 beside such a list makes it refuse the permitted IPv4 as
// well. A list with some range in both families is read alike by all.
func (p Permit) constrain(t *x509.Certificate) {
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = p.DNS
	if len(p.DNS) == 0 {
		t.ExcludedDNSDomains = []string{""}
	}
	if len(p.IPs) == 0 {
		t.ExcludedIPRanges = ipNets(
			netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
		return
	}
	t.PermittedIPRanges = ipNets(p.IPs...)
	if !slices.ContainsFunc(p.IPs, func(r netip.Prefix) bool { return r.Addr().Is4() }) {
		t.PermittedIPRanges = append(t.PermittedIPRanges, ipNets(noIPv4)...)
	}
	if !slices.ContainsFunc(p.IPs, func(r netip.Prefix) bool { return r.Addr().Is6() }) {
		t.PermittedIPRanges = append(t.PermittedIPRanges, ipNets(noIPv6)...)
	}
}

var errNotConfined = errors.New("is not confined to a list of hosts")

// permitOf reads back what constrain wrote. Constraints of any other shape are
// refused: Allows could not speak for them.
func permitOf(c *x509.Certificate) (Permit, error) {
	entries := slices.Clone(c.PermittedDNSDomains)
	for _, n := range c.PermittedIPRanges {
		if s := n.String(); s != noIPv4.String() && s != noIPv6.String() {
			entries = append(entries, s)
		}
	}
	p, err := ParsePermit(entries)
	if err != nil || p.IsZero() {
		return Permit{}, errNotConfined
	}
	var want x509.Certificate
	p.constrain(&want)
	if !c.PermittedDNSDomainsCritical ||
		!slices.Equal(c.PermittedDNSDomains, want.PermittedDNSDomains) ||
		!slices.Equal(c.ExcludedDNSDomains, want.ExcludedDNSDomains) ||
		!slices.EqualFunc(c.PermittedIPRanges, want.PermittedIPRanges, sameNet) ||
		!slices.EqualFunc(c.ExcludedIPRanges, want.ExcludedIPRanges, sameNet) {
		return Permit{}, errNotConfined
	}
	return p, nil
}

func ipNets(ranges ...netip.Prefix) []*net.IPNet {
	nets := make([]*net.IPNet, len(ranges))
	for i, r := range ranges {
		nets[i] = &net.IPNet{IP: r.Addr().AsSlice(), Mask: net.CIDRMask(r.Bits(), r.Addr().BitLen())}
	}
	return nets
}

func sameNet(a, b *net.IPNet) bool { return a.String() == b.String() }
