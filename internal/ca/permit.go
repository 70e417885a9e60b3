package ca

import (
	"errors"
	"fmt"
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
	r = r.Masked()
	switch {
	case r.Bits() == 0:
		return r, errors.New("covers every address; a CA for all of them is never made")
	case r.Addr().IsMulticast():
		return r, errMulticast
	}
	return r, nil
}

// IsZero reports whether p permits nothing.
func (p Permit) IsZero() bool { return len(p.DNS) == 0 && len(p.IPs) == 0 }

// check refuses a Permit that no CA is made for.
func (p Permit) check() error {
	if !p.IsZero() {
		return nil
	}
	return &Error{
		Reason: "a CA that permits no host is never made",
		Hint:   "name the hosts in a rule, or in permit under [ca]",
	}
}

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
