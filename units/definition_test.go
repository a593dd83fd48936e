package units

import (
	"slices"
	"testing"
)

// define makes a unit of a fragment and drop-ins.
func define(t *testing.T, name string, texts ...string) *Definition {
	t.Helper()
	d := &Definition{Name: name}
	for _, text := range texts {
		d.Files = append(d.Files, parse(t, name, text))
	}
	return d
}

func TestValues(t *testing.T) {
	d := define(t, "app.service",
		"[Service]\nExecStart=/bin/one\nUser=a\nUser=b\nEnvironment=A=1\n",
		"[Service]\nExecStart=\nExecStart=/bin/two\nEnvironment=B=2\n[Unit]\nUser=c\n",
		"[Service]\nType=\n")
	for _, row := range []struct {
		says, key string
		want      []string
		value     string
	}{
		{"a drop-in resets and sets anew", "ExecStart", []string{"/bin/two"}, "/bin/two"},
		{"a drop-in adds", "Environment", []string{"A=1", "B=2"}, "B=2"},
		{"the last one counts, of this section only", "User", []string{"a", "b"}, "b"},
		{"reset and not set again", "Type", nil, ""},
		{"never set", "Restart", nil, ""},
	} {
		t.Run(row.says, func(t *testing.T) {
			if got := d.Values("Service", row.key); !slices.Equal(got, row.want) {
				t.Errorf("Values gives %q, want %q", got, row.want)
			}
			if got := d.Value("Service", row.key); got != row.value {
				t.Errorf("Value gives %q, want %q", got, row.value)
			}
		})
	}
	if !d.Has("Unit") || d.Has("Install") {
		t.Error("Has looks at other files than all of them")
	}
}

func TestRelations(t *testing.T) {
	type relations struct{ after, before, binds, wants, triggers []string }
	for _, row := range []struct {
		says, name string
		texts      []string
		want       relations
	}{
		{
			says: "said by the unit, each once", name: "app.service",
			texts: []string{"[Unit]\nAfter=db.service net.target\nAfter=db.service\nRequires=db.service\nWants=net.target\nBefore=proxy.service\n"},
			want: relations{after: []string{"db.service", "net.target"}, before: []string{"proxy.service"},
				binds: []string{"db.service"}, wants: []string{"net.target"}},
		},
		{
			says: "all that hands a stop on", name: "app.service",
			texts: []string{"[Unit]\nRequires=a.service\nRequisite=b.service\nBindsTo=c.service\nPartOf=d.service\nStopPropagatedFrom=e.service\n"},
			want:  relations{binds: []string{"a.service", "b.service", "c.service", "d.service", "e.service"}},
		},
		{
			says: "a drop-in cannot take a dependency back", name: "app.service",
			texts: []string{"[Unit]\nAfter=db.service\n", "[Unit]\nAfter=\nAfter=other.service\n"},
			want:  relations{after: []string{"db.service", "other.service"}},
		},
		{
			says: "specifiers, and names that are none", name: "app@one.service",
			texts: []string{"[Unit]\nAfter=%p-%i.service db-%j.service nonsense /x %H.service\n"},
			want:  relations{after: []string{"app-one.service", "db-app.service"}},
		},
		{
			says: "itself does not count", name: "app.service",
			texts: []string{"[Unit]\nAfter=app.service\nBefore=app.service\nRequires=app.service\nWants=app.service\n"},
		},
		{
			says: "a socket comes before the service that it starts", name: "app.socket",
			texts: []string{"[Socket]\nListenStream=/run/app\n"},
			want:  relations{before: []string{"app.service"}, triggers: []string{"app.service"}},
		},
		{
			says: "a socket with another service", name: "app.socket",
			texts: []string{"[Socket]\nService=web.service\n"},
			want:  relations{before: []string{"web.service"}, triggers: []string{"web.service"}},
		},
		{
			says: "a socket with an instance for each connection", name: "app.socket",
			texts: []string{"[Socket]\nAccept=yes\n"},
		},
		{
			says: "a socket of a template", name: "app@one.socket",
			texts: []string{"[Socket]\nListenStream=/run/app-%i\n"},
			want:  relations{before: []string{"app@one.service"}, triggers: []string{"app@one.service"}},
		},
		{
			says: "a timer", name: "app.timer", texts: []string{"[Timer]\nOnBootSec=1\n"},
			want: relations{before: []string{"app.service"}, triggers: []string{"app.service"}},
		},
		{
			says: "a path with another unit, the last one counts", name: "app.path",
			texts: []string{"[Path]\nPathExists=/x\nUnit=a.service\nUnit=b.target\n"},
			want:  relations{before: []string{"b.target"}, triggers: []string{"b.target"}},
		},
		{
			says: "Sockets= of a service", name: "app.service",
			texts: []string{"[Service]\nSockets=one.socket two.socket\n"},
			want:  relations{after: []string{"one.socket", "two.socket"}, wants: []string{"one.socket", "two.socket"}},
		},
		{
			says: "the slice of a service", name: "app.service",
			texts: []string{"[Service]\nSlice=big.slice\n"},
			want:  relations{after: []string{"big.slice"}, binds: []string{"big.slice"}},
		},
		{
			says: "what a target wants may say to come after it", name: "all.target",
			texts: []string{"[Unit]\nWants=a.service\nRequires=b.service\n"},
			want:  relations{binds: []string{"b.service"}, wants: []string{"a.service"}},
		},
	} {
		t.Run(row.says, func(t *testing.T) {
			d := define(t, row.name, row.texts...)
			for what, pair := range map[string][2][]string{
				"After":    {d.After(), row.want.after},
				"Before":   {d.Before(), row.want.before},
				"Binds":    {d.Binds(), row.want.binds},
				"Wants":    {d.Wants(), row.want.wants},
				"Triggers": {d.Triggers(), row.want.triggers},
			} {
				if !slices.Equal(pair[0], pair[1]) {
					t.Errorf("%s gives %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestRunsOnce(t *testing.T) {
	for text, want := range map[string]bool{
		"[Service]\nType=oneshot\nExecStart=/bin/true\n":                         true,
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n":    false,
		"[Service]\nType=oneshot\nRemainAfterExit=off\nExecStart=/bin/true\n":    true,
		"[Service]\nExecStart=/bin/true\n":                                       false,
		"[Service]\nExecStop=/bin/true\n":                                        true,
		"[Service]\nType=simple\nExecStop=/bin/true\n":                           false,
		"[Service]\nType=simple\nType=oneshot\nExecStart=/bin/true\n":            true,
		"[Timer]\nOnCalendar=daily\n":                                            false,
		"[Service]\nExecStop=/bin/true\nRemainAfterExit=true\n[Install]\nAlias=": false,
	} {
		if got := define(t, "app.service", text).RunsOnce(); got != want {
			t.Errorf("%q runs once: %t", text, got)
		}
	}
}
