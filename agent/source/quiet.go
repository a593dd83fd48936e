package source

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Quiet reads from and writes to what the Go runtime waits for by itself, a connection or
// a pipe, without telling the runtime of each call. A call that it is told of wakes its
// watcher after a time of rest, a thread that then sleeps and wakes some times more: a
// good part of what a look costs that finds nothing new. The calls never wait in the
// kernel, so that there is nothing to watch.
type Quiet struct{ raw syscall.RawConn }

// NewQuiet makes a Quiet. An error means that c cannot be waited for.
func NewQuiet(c syscall.Conn) (Quiet, error) {
	raw, err := c.SyscallConn()
	return Quiet{raw}, err
}

// Read is that of io.Reader. Deadlines of what is read from count.
func (q Quiet) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	waited := q.raw.Read(func(fd uintptr) (done bool) {
		n, done, err = once(syscall.SYS_READ, fd, p)
		return done
	})
	switch {
	case waited != nil:
		return 0, waited
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write is that of io.Writer. Deadlines of what is written to count.
func (q Quiet) Write(p []byte) (n int, err error) {
	for n < len(p) {
		var some int
		waited := q.raw.Write(func(fd uintptr) (done bool) {
			some, done, err = once(syscall.SYS_WRITE, fd, p[n:])
			return done
		})
		switch {
		case waited != nil:
			return n, waited
		case err != nil:
			return n, os.NewSyscallError("write", err)
		}
		n += some
	}
	return n, nil
}

// isReadable reports whether a read of a connection would not wait: there are bytes, or it
// has ended.
func (q Quiet) isReadable() bool {
	var errno syscall.Errno
	var b [1]byte
	err := q.raw.Control(func(fd uintptr) {
		_, _, errno = syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	})
	return err != nil || errno != syscall.EAGAIN
}

// once makes a call that does not wait; it is not done when it would have to.
func once(call, fd uintptr, p []byte) (n int, done bool, err error) {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), true, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, false, nil
		default:
			return 0, true, errno
		}
	}
}

// quietConn is a connection that is Quiet.
type quietConn struct {
	net.Conn
	quiet Quiet
}

func (c quietConn) Read(p []byte) (int, error)  { return c.quiet.Read(p) }
func (c quietConn) Write(p []byte) (int, error) { return c.quiet.Write(p) }

// quietly is a dialer's DialContext, for a connection that is mostly idle.
func quietly(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c, is := conn.(syscall.Conn)
		if !is {
			return conn, nil
		}
		quiet, err := NewQuiet(c)
		if err != nil {
			return conn, nil
		}
		return quietConn{conn, quiet}, nil
	}
}
