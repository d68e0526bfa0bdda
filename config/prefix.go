package config

import (
	"fmt"
	"net/netip"
)

// Prefix is a range of addresses. An address alone is a range of one.
type Prefix struct{ netip.Prefix }

// UnmarshalText reads 10.0.0.0/8, fd00::/8, and a single address without a length.
func (p *Prefix) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil && addr.Zone() == "" {
		p.Prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%s is not a range of addresses; want 10.0.0.0/8, fd00::/8 or an address", quote(string(text)))
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("%s has bits set behind its length; write %s", quote(string(text)), prefix.Masked())
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 { // clients are known by their IPv4 addresses
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	p.Prefix = prefix
	return nil
}

// MarshalText returns the form of String.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the range as in 10.0.0.0/8, a single address without a length, and nothing for the zero value.
func (p Prefix) String() string {
	switch {
	case p == (Prefix{}):
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.Prefix.String()
}
