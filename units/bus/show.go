package bus

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"evenkeel/units"
)

// notFound is what systemd says of a unit without a file.
const notFound = "not-found"

// List gives the status of each unit in the order of names, in one round trip.
func (m *Manager) List(ctx context.Context, names []string) ([]units.Status, error) {
	list := make([]units.Status, len(names))
	var asked []string
	var at []int
	for i, name := range names {
		list[i] = units.Status{Name: name, Load: notFound, Active: "inactive", Sub: "dead"}
		if loadable(name) {
			asked, at = append(asked, name), append(at, i)
		}
	}
	if len(asked) == 0 {
		return list, nil
	}
	answers, err := m.list(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	for i, answer := range answers {
		answer.Name = asked[i] // systemd gives an alias under the unit's own name
		list[at[i]] = answer
	}
	return list, nil
}

// loadable leaves out what systemd would refuse together with the whole list: a
// name that is none, and a template, which has no state.
func loadable(name string) bool {
	_, instance, templated := units.Template(name)
	return units.Valid(name) == nil && (!templated || instance != "")
}

func (m *Manager) list(ctx context.Context, names []string) ([]units.Status, error) {
	var answers []sdbus.UnitStatus
	err := m.ask(ctx, m.options.CallLimit, func(ctx context.Context, l *link) (err error) {
		answers, err = l.conn.ListUnitsByNamesContext(ctx, names)
		return err
	})
	if isDBus(err, "org.freedesktop.DBus.Error.UnknownMethod") { // before systemd 230
		return m.listOneByOne(ctx, names)
	}
	if err != nil {
		return nil, err
	}
	if len(answers) != len(names) {
		return nil, fmt.Errorf("systemd answered for %d units of %d", len(answers), len(names))
	}
	list := make([]units.Status, len(answers))
	for i, a := range answers {
		list[i] = units.Status{Load: a.LoadState, Active: a.ActiveState, Sub: a.SubState, Job: a.JobType}
	}
	return list, nil
}

func (m *Manager) listOneByOne(ctx context.Context, names []string) ([]units.Status, error) {
	list := make([]units.Status, len(names))
	for i, name := range names {
		detail, err := m.Show(ctx, name)
		if err != nil {
			return nil, err
		}
		list[i] = detail.Status
	}
	return list, nil
}

// Show gives everything about one unit.
func (m *Manager) Show(ctx context.Context, name string) (units.Detail, error) {
	detail, _, err := m.show(ctx, name)
	if err != nil {
		return units.Detail{}, fmt.Errorf("cannot show unit %q: %w", name, err)
	}
	return detail, nil
}

// show also gives the word for the last reload, which only Run needs.
func (m *Manager) show(ctx context.Context, name string) (detail units.Detail, reloadResult string, err error) {
	if !loadable(name) {
		return units.Detail{Status: units.Status{Name: name, Load: notFound, Active: "inactive", Sub: "dead"}}, "", nil
	}
	var p properties
	var job string
	err = m.ask(ctx, m.options.CallLimit, func(ctx context.Context, l *link) (err error) {
		p, err = l.conn.GetAllPropertiesContext(ctx, name)
		if err != nil {
			return err
		}
		job, err = l.jobType(ctx, p.job())
		return err
	})
	if err != nil {
		return units.Detail{}, "", err
	}
	detail = p.detail(name)
	detail.Job = job
	return detail, p.text("ReloadResult"), nil
}

// jobType names the kind of a job, "" when it has ended meanwhile.
func (l *link) jobType(ctx context.Context, path dbus.ObjectPath) (kind string, err error) {
	if path == "" {
		return "", nil
	}
	err = l.property(ctx, path, "org.freedesktop.systemd1.Job", "JobType", &kind)
	if isDBus(err, "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.systemd1.NoSuchJob") {
		return "", nil
	}
	return kind, err
}

// properties are those of a unit, of all its interfaces. One that is missing or
// of another type than expected reads as the zero value: older versions of
// systemd have fewer.
type properties map[string]any

func (p properties) detail(name string) units.Detail {
	d := units.Detail{
		Status: units.Status{
			Name:   name,
			Load:   p.text("LoadState"),
			Active: p.text("ActiveState"),
			Sub:    p.text("SubState"),
		},
		Invocation:    p.invocation(),
		Restarts:      get[uint32](p, "NRestarts"),
		Result:        p.text("Result"),
		Condition:     get[bool](p, "ConditionResult"),
		ConditionAt:   p.time("ConditionTimestamp"),
		MainStart:     p.time("ExecMainStartTimestamp"),
		MainPID:       get[uint32](p, "MainPID"),
		ExitStatus:    get[int32](p, "ExecMainStatus"),
		ActiveAt:      p.time("ActiveEnterTimestamp"),
		UnitFileState: p.text("UnitFileState"),
		Fragment:      p.text("FragmentPath"),
		DropIns:       p.list("DropInPaths"),
		NeedReload:    get[bool](p, "NeedDaemonReload"),
		CanReload:     get[bool](p, "CanReload"),

		Requires: p.list("Requires"), BindsTo: p.list("BindsTo"), Wants: p.list("Wants"), PartOf: p.list("PartOf"),
		RequiredBy: p.list("RequiredBy"), BoundBy: p.list("BoundBy"), ConsistsOf: p.list("ConsistsOf"),
		Conflicts: p.list("Conflicts"), ConflictedBy: p.list("ConflictedBy"),
		After: p.list("After"), Before: p.list("Before"),
		Triggers: p.list("Triggers"), TriggeredBy: p.list("TriggeredBy"),
	}
	if strings.HasSuffix(name, ".service") { // a mount's Type is its file system
		d.Type = p.text("Type")
		d.RemainAfterExit = get[bool](p, "RemainAfterExit")
	}
	return d
}

func get[T any](p properties, key string) T {
	value, _ := p[key].(T)
	return value
}

func (p properties) text(key string) string { return get[string](p, key) }

// list gives nil for an empty list.
func (p properties) list(key string) []string {
	if list := get[[]string](p, key); len(list) > 0 {
		return list
	}
	return nil
}

// time reads microseconds since 1970; zero is never.
func (p properties) time(key string) time.Time {
	µs := get[uint64](p, key)
	if µs == 0 || µs == ^uint64(0) {
		return time.Time{}
	}
	return time.UnixMicro(int64(µs))
}

// invocation is empty for a unit that was not started in this boot.
func (p properties) invocation() string {
	id := get[[]byte](p, "InvocationID")
	for _, b := range id {
		if b != 0 {
			return hex.EncodeToString(id)
		}
	}
	return ""
}

// job gives the object path of the unit's job, "" when there is none.
func (p properties) job() dbus.ObjectPath {
	pair := get[[]any](p, "Job") // (id, path)
	if len(pair) != 2 {
		return ""
	}
	id, _ := pair[0].(uint32)
	path, _ := pair[1].(dbus.ObjectPath)
	if id == 0 {
		return ""
	}
	return path
}
