package health

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// probeTCP passes when a connection is accepted.
func probeTCP(ctx context.Context, address string) error {
	conn, err := dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dialer connects to what a check may reach. The address is looked at when it is
// dialled, after names were resolved and redirects followed, so that no DNS
// answer leads a check to the cloud's metadata service.
func dialer() *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("cannot read address %q: %v", address, err)
		}
		if ip := at.Addr().Unmap().WithZone(""); isMetadata(ip) {
			return fmt.Errorf("checks do not connect to %s, where clouds serve secrets", ip)
		}
		return nil
	}}
}

// isMetadata reports whether clouds have their metadata services at an address:
// most at link-local ones, Amazon and Alibaba at one more each.
func isMetadata(ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || ip.String() == "fd00:ec2::254" || ip.String() == "100.100.100.200"
}
