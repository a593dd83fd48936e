//go:build e2e_host

package bus

import (
	"os"
	"slices"
	"testing"

	"evenkeel/units"
)

// What package units reads from unit files is held against what systemd itself
// makes of the same files.

func TestHostSplitsCommandLinesAsUnitsDoes(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-words.service"
	lines := []string{
		`/bin/true a  b	c`,
		`/bin/true "a b" 'c d' "" e`,
		`/bin/true "it's" 'say "x"'`,
		`/bin/true --x="a b" c"d e"f`,
		`/bin/true a\sb\tc\x41\101 \u00e4 \"\\`,
		`/bin/true "a\"b" 'c\'d' \n`,
		`/bin/true 'a\x20b' "\\d"`,
		`/bin/true \x4g \u12 \d`,
		`"/bin/true" --config=/etc/a,/etc/b`,
	}
	text := "[Service]\nType=oneshot\n"
	for _, line := range lines {
		text += "ExecStart=" + line + "\n"
	}
	h.install(map[string]string{name: text})
	property, err := h.m.link.conn.GetServicePropertyContext(h.ctx, name, "ExecStart")
	if err != nil {
		t.Fatal(err)
	}
	commands, ok := property.Value.Value().([][]any)
	if !ok || len(commands) != len(lines) {
		t.Fatalf("systemd gives %v, want %d commands", property.Value, len(lines))
	}
	for i, command := range commands {
		got, err := units.Words(lines[i])
		if want, _ := command[1].([]string); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s\nWords gives   %q, %v\nsystemd gives %q", lines[i], got, err, want)
		}
	}
}

func TestHostRelatesUnitsAsUnitsDoes(t *testing.T) {
	h := newHost(t)
	entries, err := os.ReadDir("/usr/lib/systemd/system")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, entry := range entries {
		if !loadable(entry.Name()) || !entry.Type().IsRegular() {
			continue
		}
		seen := h.show(entry.Name())
		if seen.Load != "loaded" {
			continue
		}
		d := &units.Definition{Name: entry.Name()}
		for _, path := range append([]string{seen.Fragment}, seen.DropIns...) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file, err := units.ParseFile(path, text)
			if err != nil {
				t.Error(err)
			}
			d.Files = append(d.Files, file)
		}
		binds := slices.Concat(seen.Requires, seen.BindsTo, seen.PartOf,
			h.names(d.Name, "Requisite"), h.names(d.Name, "StopPropagatedFrom"))
		h.within(d.Name, "After", d.After(), seen.After)
		h.within(d.Name, "Before", d.Before(), seen.Before)
		h.within(d.Name, "Binds", d.Binds(), binds)
		h.within(d.Name, "Wants", d.Wants(), slices.Concat(seen.Wants, h.names(d.Name, "Upholds")))
		h.within(d.Name, "Triggers", d.Triggers(), seen.Triggers)
		compared++
	}
	if compared < 50 {
		t.Errorf("only %d units were compared", compared)
	}
}

// names reads a list that units.Detail does not have.
func (h *host) names(unit, property string) []string {
	h.t.Helper()
	p, err := h.m.link.conn.GetUnitPropertyContext(h.ctx, unit, property)
	if err != nil {
		h.t.Fatal(err)
	}
	names, _ := p.Value.Value().([]string)
	return names
}

// within checks that systemd knows each relation, under the unit's own name
// where the file says an alias.
func (h *host) within(unit, relation string, ours, theirs []string) {
	h.t.Helper()
	for _, name := range ours {
		if slices.Contains(theirs, name) {
			continue
		}
		id, err := h.m.link.conn.GetUnitPropertyContext(h.ctx, name, "Id")
		if err != nil {
			h.t.Fatal(err)
		}
		if own, _ := id.Value.Value().(string); !slices.Contains(theirs, own) {
			h.t.Errorf("%s: %s gives %q, systemd %q", unit, relation, name, theirs)
		}
	}
}
