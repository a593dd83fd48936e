package bus

import (
	"context"
	"errors"
	"fmt"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// maxWatched is below what a bus lets one client ask for: dbus-daemon takes 512.
const maxWatched = 400

// Changes calls changed whenever systemd says something new of one of the units, until
// ctx ends or the connection is lost; the error says which. What happens while nobody
// listens is not told later. Of more than 400 units the first are watched. It has a
// connection of its own, over the bus only: the private socket would wake the caller
// for each unit of the host.
func (m *Manager) Changes(ctx context.Context, names []string, changed func()) error {
	life, end := context.WithCancel(ctx)
	defer end()
	conn, err := open(life, way{"system bus", m.options.Bus, false})
	if err != nil {
		return fmt.Errorf("cannot listen to systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	if err := m.askForChanges(life, conn, names[:min(len(names), maxWatched)]); err != nil {
		return fmt.Errorf("cannot listen to systemd: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-signals:
			if !open {
				return errors.New("cannot listen to systemd: the connection was lost")
			}
			changed()
		}
	}
}

// askForChanges has the bus hand on what is about these units, and systemd say it.
func (m *Manager) askForChanges(ctx context.Context, conn *dbus.Conn, names []string) error {
	limited, cancel := context.WithTimeout(ctx, m.options.CallLimit)
	defer cancel()
	for _, name := range names {
		path := dbus.ObjectPath(string(managerPath) + "/unit/" + sdbus.PathBusEscape(name))
		err := conn.AddMatchSignalContext(limited,
			dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(path),
			dbus.WithMatchInterface("org.freedesktop.DBus.Properties"), dbus.WithMatchMember("PropertiesChanged"))
		if err != nil {
			return err
		}
	}
	return conn.Object(systemdName, managerPath).CallWithContext(limited, managerInterface+".Subscribe", 0).Err
}
