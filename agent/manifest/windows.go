package manifest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// Maintenance windows stand in an entry of the fleet, and in the host's own
// configuration.

func windowsKeys() []Key {
	return []Key{
		{Name: "zone", Value: Matching(zoneName.String()), About: "The time zone, as an IANA name such as Europe/Berlin. Default: UTC."},
		{Name: "allow", Value: List(windowForm()).with("minItems", 1), About: "A commit begins in one of these windows only. Default: at any time."},
		{Name: "deny", Value: List(windowForm()).with("minItems", 1), About: "A commit begins in none of these windows, whatever allow says."},
	}
}

func windowKeys() []Key {
	return []Key{
		{Name: "days", Value: List(Matching(dayRange.String())).with("minItems", 1), About: "Days on which the window begins, such as [mon-fri, sun]. Default: all."},
		{Name: "from", Value: Matching(timeOfDay.String()), About: `When it begins, such as "22:00". Default: the whole day.`},
		{Name: "to", Value: Matching(endOfDay.String()), About: `When it ends, such as "04:00", which is on the next day if it is before from.`},
	}
}

func windowForm() Form {
	return Mapping(windowKeys()).with("minProperties", 1).with("dependencies", map[string]any{"from": []string{"to"}, "to": []string{"from"}})
}

// WindowsForm is what maintenance windows look like in a file.
func WindowsForm() Form { return Mapping(windowsKeys()) }

const someDay = `([Mm]on(day)?|[Tt]ue(sday)?|[Ww]ed(nesday)?|[Tt]hu(rsday)?|[Ff]ri(day)?|[Ss]at(urday)?|[Ss]un(day)?)`

var (
	dayRange  = regexp.MustCompile(`^` + someDay + `(-` + someDay + `)?$`)
	timeOfDay = regexp.MustCompile(`^([01]?[0-9]|2[0-3]):[0-5][0-9]$`)
	endOfDay  = regexp.MustCompile(`^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$`)
	zoneName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)
)

// ReadWindows reads maintenance windows as fleet.yaml has them in another file.
func ReadWindows(file string, n *yaml.Node) (*plan.Windows, Problems) {
	c := &collector{}
	d := &document{file: file, c: c}
	w := d.windows(n)
	return w, sorted(c.list)
}

func (d *document) windows(n *yaml.Node) *plan.Windows {
	w := &plan.Windows{}
	keys := d.fields(n, "windows:", windowsKeys())
	faults := len(d.c.list)
	if p, ok := keys["zone"]; ok {
		w.Zone = d.zone(p.value)
	}
	if p, ok := keys["allow"]; ok {
		w.Allow = d.windowList(p.value, "allow:")
	}
	if p, ok := keys["deny"]; ok {
		w.Deny = d.windowList(p.value, "deny:")
	}
	if len(d.c.list) == faults && !w.Ever() {
		d.problem(n, "a pause is the way to keep commits off for a time", "windows: never open: deny: takes all that there is")
	}
	return w
}

func (d *document) zone(n *yaml.Node) string {
	name, ok := d.text(n, "zone:")
	if !ok {
		return ""
	}
	if _, err := (&plan.Windows{Zone: name}).Location(); err != nil || !zoneName.MatchString(name) {
		d.problem(n, "write an IANA name such as Europe/Berlin, or leave it away for UTC", "zone: %q is no time zone", name)
	}
	return name
}

func (d *document) windowList(n *yaml.Node, what string) []plan.Window {
	items := d.items(n, what)
	if resolve(n).Kind == yaml.SequenceNode && len(items) == 0 {
		d.problem(n, "leave it away, or write at least one window", "%s has no window", what)
	}
	var list []plan.Window
	for _, item := range items {
		list = append(list, d.window(item))
	}
	return list
}

func (d *document) window(n *yaml.Node) plan.Window {
	w := plan.Window{To: endOfTheDay}
	keys := d.fields(n, "a window", windowKeys())
	if p, ok := keys["days"]; ok {
		w.Days = d.days(p.value)
	}
	from, begins := keys["from"]
	to, ends := keys["to"]
	if begins {
		w.From = d.timeOfDay(from.value, "from:", timeOfDay)
	}
	if ends {
		w.To = d.timeOfDay(to.value, "to:", endOfDay)
	}
	switch m := resolve(n); {
	case m.Kind != yaml.MappingNode:
	case begins != ends:
		d.problem(n, "write both, or none of them for the whole day", "a window has from: and to:")
	case len(m.Content) == 0:
		d.problem(n, "days:, or from: and to:", "a window must say when it is")
	case begins && w.From >= 0 && w.From == w.To:
		d.problem(to.value, "leave both away for the whole day", "a window that ends when it begins is empty")
	}
	return w
}

const endOfTheDay = 24 * 60

// timeOfDay gives the minutes since midnight, -1 for what is no time.
func (d *document) timeOfDay(n *yaml.Node, what string, form *regexp.Regexp) int {
	text, ok := d.text(n, what)
	if !ok {
		return -1
	}
	if !form.MatchString(text) {
		d.problem(n, `such as "22:00"`, "%s %q is no time of day", what, text)
		return -1
	}
	hour, minute, _ := strings.Cut(text, ":")
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	return h*60 + m
}

// days gives the days of a list of days and ranges of them, which may go over the
// end of the week.
func (d *document) days(n *yaml.Node) []time.Weekday {
	items := d.items(n, "days:")
	if resolve(n).Kind == yaml.SequenceNode && len(items) == 0 {
		d.problem(n, "leave it away for all days", "days: has no day")
	}
	var list []time.Weekday
	for _, item := range items {
		text, ok := d.text(item, "a day")
		if !ok {
			continue
		}
		if !dayRange.MatchString(text) {
			d.problem(item, "such as mon, or mon-fri", "%q is no day of the week", text)
			continue
		}
		first, last, isRange := strings.Cut(text, "-")
		day, _ := plan.ParseWeekday(first)
		end := day
		if isRange {
			end, _ = plan.ParseWeekday(last)
		}
		for list = append(list, day); day != end; list = append(list, day) {
			day = (day + 1) % 7
		}
	}
	return list
}
