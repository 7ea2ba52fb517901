// Package clientaddr determines the network address of the client that sent a request,
// for limits per address.
package clientaddr

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Trusted are the proxies whose X-Forwarded-For header is used. The zero value trusts
// no proxy. It is safe for concurrent use.
type Trusted []netip.Prefix

// ParseTrusted parses a comma-separated list of CIDR prefixes or addresses.
func ParseTrusted(list string) (Trusted, error) {
	var trusted Trusted
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			addr, addrErr := netip.ParseAddr(item)
			if addrErr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a CIDR prefix, like 10.0.0.0/8", item)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		trusted = append(trusted, prefix.Masked())
	}
	return trusted, nil
}

// Contains reports whether addr is one of the trusted proxies.
func (t Trusted) Contains(addr netip.Addr) bool {
	for _, prefix := range t {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Of returns the address of the client that sent the request. If the connection comes
// from a trusted proxy, that is the last address in X-Forwarded-For that is not a
// trusted proxy's; the addresses before it may be forged by the client. The result is
// the zero Addr if the connection has no IP address.
func (t Trusted) Of(r *http.Request) netip.Addr {
	addr := Parse(r.RemoteAddr)
	if !t.Contains(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := Parse(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr = hop
		if !t.Contains(addr) {
			break
		}
	}
	return addr
}

// Parse reads an address with or without a port. It returns the zero Addr if
// there is none in s.
func Parse(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// Key returns what limits per address count addr as: itself, or the /64 network
// of an IPv6 address, since a client that has one of those has all of its addresses.
func Key(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
