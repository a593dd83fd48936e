package bus

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

const (
	systemdName      = "org.freedesktop.systemd1"
	managerPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerInterface = "org.freedesktop.systemd1.Manager"
)

// way is one of the two ways to PID 1.
type way struct {
	name    string
	address string
	direct  bool // no bus between: no Hello
}

// link is one connection. go-systemd opens two sockets for it: signals must not
// wait behind answers.
type link struct {
	conn   *sdbus.Conn
	raw    *dbus.Conn // the socket for calls, for what go-systemd has no method with a context
	end    context.CancelFunc
	direct bool // on the private socket

	mu   sync.Mutex
	held map[string]bool // units that systemd must not forget while this connection lives
}

// dial connects and subscribes to the signals of jobs. A socket that accepts and
// then says nothing is given up after dialLimit.
func dial(ctx context.Context, w way) (*link, error) {
	limited, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	life, end := context.WithCancel(context.Background())
	stop := context.AfterFunc(limited, end)
	l := &link{end: end, direct: w.direct, held: map[string]bool{}}
	var err error
	l.conn, err = sdbus.NewConnection(func() (*dbus.Conn, error) {
		c, err := open(life, w)
		if l.raw == nil {
			l.raw = c // go-systemd opens the one for calls first
		}
		return c, err
	})
	if err == nil {
		// Not go-systemd's Subscribe, which also asks for every change of every
		// unit: the daemon would wake for each of them.
		err = l.call(limited, "Subscribe")
	}
	if inTime := stop(); err == nil && !inTime {
		err = limited.Err()
	}
	if err != nil {
		if limited.Err() != nil {
			err = limited.Err() // rather than the noise of the socket that it closed
		}
		l.close()
		return nil, err
	}
	return l, nil
}

func open(life context.Context, w way) (*dbus.Conn, error) {
	var c *dbus.Conn
	var err error
	if w.address == "" {
		c, err = dbus.SystemBusPrivate(dbus.WithContext(life))
	} else {
		c, err = dbus.Dial(w.address, dbus.WithContext(life))
	}
	if err != nil {
		return nil, err
	}
	// By uid: a name look-up could hang on the very service that we restart.
	err = c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil && !w.direct {
		err = c.Hello()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (l *link) alive() bool { return l.conn.Connected() }

func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	l.end()
}

// isLost reports whether an error leaves open what systemd made of the call: the
// connection is gone, the bus does not know systemd (it has just come back), or
// nobody answered in time.
func (l *link) isLost(err error) bool {
	var answer dbus.Error
	if errors.As(err, &answer) {
		return isDBus(err,
			"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
			"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected")
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, dbus.ErrClosed) || isOfTheSocket(err) || !l.alive()
}

// isOfTheSocket reports whether a message could not be sent. At first it is only he who sends
// that knows: the connection counts as alive until the end was read, too.
func isOfTheSocket(err error) bool {
	var failure *net.OpError
	return errors.As(err, &failure)
}

// call asks systemd's manager for something whose answer does not matter, only
// that it came.
func (l *link) call(ctx context.Context, method string, arguments ...any) error {
	return l.raw.Object(systemdName, managerPath).CallWithContext(ctx, managerInterface+"."+method, 0, arguments...).Err
}

// property reads one property into value.
func (l *link) property(ctx context.Context, path dbus.ObjectPath, of, name string, value any) error {
	var answer dbus.Variant
	err := l.raw.Object(systemdName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, of, name).Store(&answer)
	if err != nil {
		return err
	}
	return answer.Store(value)
}

// hold keeps systemd from forgetting the unit. Without it, a unit that is
// inactive again and that nothing refers to (a oneshot that has run, a start that
// was skipped) loses its result the moment that its job ends. Over the private
// socket there is no such thing, and then the result is lost.
func (l *link) hold(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.direct || l.held[name] {
		return nil
	}
	err := l.call(ctx, "RefUnit", name)
	var refused dbus.Error
	if errors.As(err, &refused) && !l.isLost(err) {
		return nil // it says so better when it is asked for the job
	}
	l.held[name] = err == nil
	return err
}

// release undoes hold.
func (l *link) release(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held[name] {
		return nil
	}
	delete(l.held, name)
	return l.call(ctx, "UnrefUnit", name)
}

// majorVersion reads the number at the start of systemd's version:
// "252.39-1~deb12u2" is 252. Zero means that there is none.
func majorVersion(version string) int {
	version = strings.TrimPrefix(version, "v")
	end := 0
	for end < len(version) && version[end] >= '0' && version[end] <= '9' {
		end++
	}
	number, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return number
}
