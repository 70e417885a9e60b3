package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Permit is the set of hosts that a CA may sign for. The zero Permit has none,
// and no CA is ever made from it. A Permit is a value; do not change the
// slices of one that is shared.
type Permit struct {
	DNS []string       // each covers itself and every name under it, as RFC 5280 has it
	IPs []netip.Prefix // IPv4 and IPv6 are separate forms
}

// ParsePermit reads entries as the configuration has them: a DNS domain
// ("corp.example"), an IP address or a range ("10.0.0.0/8"). The result is
// sorted and free of duplicates. An entry that covers all names or all
// addresses is refused, and so are wildcards. Every bad entry is reported.
func ParsePermit(entries []string) (Permit, error) {
	var p Permit
	var errs []error
	for _, e := range entries {
		if err := p.add(e); err != nil {
			errs = append(errs, fmt.Errorf("permit %s: %w", printable(e), err))
		}
	}
	slices.Sort(p.DNS)
	p.DNS = slices.Compact(p.DNS)
	slices.SortFunc(p.IPs, netip.Prefix.Compare)
	p.IPs = slices.Compact(p.IPs)
	if err := errors.Join(errs...); err != nil {
		return Permit{}, err
	}
	return p, nil
}

func (p *Permit) add(entry string) error {
	if strings.Contains(entry, "/") {
		r, err := parseRange(entry)
		if err != nil {
			return err
		}
		p.IPs = append(p.IPs, r)
		return nil
	}
	name, ip, err := parseHost(entry)
	switch {
	case err != nil:
		return err
	case ip.IsValid():
		p.IPs = append(p.IPs, netip.PrefixFrom(ip, ip.BitLen()))
	default:
		p.DNS = append(p.DNS, name)
	}
	return nil
}

func parseRange(s string) (netip.Prefix, error) {
	r, err := netip.ParsePrefix(s)
	if err != nil {
		return r, errors.New("not an IP range such as 10.0.0.0/8")
	}
	if r.Addr().Is4In6() {
		// Certificates carry such addresses as IPv4, where the first 96 bits
		// have no counterpart.
		if r.Bits() < 96 {
			return r, errors.New("mixes IPv4 and IPv6")
		}
		r = netip.PrefixFrom(r.Addr().Unmap(), r.Bits()-96)
	}
	if r.Bits() == 0 {
		return r, errors.New("covers every address; a CA for all of them is never made")
	}
	return r.Masked(), nil
}

// IsZero reports whether p permits nothing.
func (p Permit) IsZero() bool { return len(p.DNS) == 0 && len(p.IPs) == 0 }

// Allows reports whether p covers host, a DNS name or an IP address without
// brackets or port. It agrees with what verifiers make of the constraints:
// a host that is neither is not covered.
func (p Permit) Allows(host string) bool {
	name, ip, err := parseHost(host)
	switch {
	case err != nil:
		return false
	case ip.IsValid():
		return slices.ContainsFunc(p.IPs, func(r netip.Prefix) bool { return r.Contains(ip) })
	}
	return slices.ContainsFunc(p.DNS, func(domain string) bool {
		return name == domain || strings.HasSuffix(name, "."+domain)
	})
}

// String returns the entries with commas between them.
func (p Permit) String() string {
	s := slices.Clone(p.DNS)
	for _, r := range p.IPs {
		s = append(s, rangeString(r))
	}
	if len(s) == 0 {
		return "nothing"
	}
	return strings.Join(s, ", ")
}

func rangeString(r netip.Prefix) string {
	if r.IsSingleIP() {
		return r.Addr().String()
	}
	return r.String()
}

// constrain writes p into the template of a CA certificate. A form with
// something permitted gets the list and no exclusion, as an exclusion would
// win over it; a form with nothing permitted is excluded whole, as silence
// would permit all of it.
func (p Permit) constrain(t *x509.Certificate) {
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = p.DNS
	if len(p.DNS) == 0 {
		t.ExcludedDNSDomains = []string{""}
	}
	var v4, v6 bool
	for _, r := range p.IPs {
		t.PermittedIPRanges = append(t.PermittedIPRanges, ipNet(r))
		v4, v6 = v4 || r.Addr().Is4(), v6 || r.Addr().Is6()
	}
	if !v4 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)))
	}
	if !v6 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, ipNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0)))
	}
}

// permitOf reads back what constrain wrote. Constraints of any other shape are
// refused: Allows could not speak for them.
func permitOf(c *x509.Certificate) (Permit, error) {
	entries := slices.Clone(c.PermittedDNSDomains)
	for _, n := range c.PermittedIPRanges {
		entries = append(entries, n.String())
	}
	p, err := ParsePermit(entries)
	if err != nil {
		return Permit{}, errNotConfined
	}
	var want x509.Certificate
	p.constrain(&want)
	same := c.PermittedDNSDomainsCritical &&
		slices.Equal(c.PermittedDNSDomains, want.PermittedDNSDomains) &&
		slices.Equal(c.ExcludedDNSDomains, want.ExcludedDNSDomains) &&
		slices.EqualFunc(c.PermittedIPRanges, want.PermittedIPRanges, sameNet) &&
		slices.EqualFunc(c.ExcludedIPRanges, want.ExcludedIPRanges, sameNet)
	if !same || p.IsZero() {
		return Permit{}, errNotConfined
	}
	return p, nil
}

var errNotConfined = errors.New("is not confined to a list of hosts")

func ipNet(r netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: r.Addr().AsSlice(), Mask: net.CIDRMask(r.Bits(), r.Addr().BitLen())}
}

func sameNet(a, b *net.IPNet) bool { return a.String() == b.String() }
