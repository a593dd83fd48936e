package health

import (
	"context"
	"net"
)

// probeUnix passes when a connection to a unix socket is accepted.
func probeUnix(ctx context.Context, path string) error {
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", path)
}
