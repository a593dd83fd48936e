package units

import (
	"slices"
	"strings"
	"testing"
)

func TestReads(t *testing.T) {
	for _, row := range []struct {
		says, name string
		text       string
		want       []string // "directive path"
	}{
		{
			says: "environment files, optional ones and globs",
			text: "[Service]\nEnvironmentFile=/etc/app.env\nEnvironmentFile=-/etc/default/app\nEnvironmentFile=/etc/app.d/*.env\n",
			want: []string{"EnvironmentFile=/etc/app.env", "EnvironmentFile=/etc/default/app", "EnvironmentFile=/etc/app.d/*.env"},
		},
		{
			says: "the program with all its prefixes",
			text: "[Service]\nExecStartPre=-+/bin/a\nExecStart=-@:/bin/b /argv0 x\nExecStartPost=!!/bin/c\nExecStop=|/bin/d\n",
			want: []string{"ExecStartPre=/bin/a", "ExecStart=/bin/b", "ExecStartPost=/bin/c", "ExecStop=/bin/d"},
		},
		{
			says: "paths in arguments, after = and , and inside quotes",
			text: "[Service]\nExecStart=/bin/app /etc/a --b=/etc/b -c \"/etc/c c\" --d=/etc/d1,/etc/d2 --e='/etc/e' -f rel/ative\n",
			want: []string{"ExecStart=/bin/app", "ExecStart=/etc/a", "ExecStart=/etc/b", "ExecStart=/etc/c c", "ExecStart=/etc/c",
				"ExecStart=/etc/d1", "ExecStart=/etc/d2", "ExecStart=/etc/e"},
		},
		{
			says: "a shell's command line",
			text: "[Service]\nExecStart=/bin/sh -c 'exec app </etc/in --config \"/etc/app.conf\" >>/var/log/out; cat $(echo /etc/x)'\n",
			want: []string{"ExecStart=/bin/sh", "ExecStart=/etc/in", "ExecStart=/etc/app.conf", "ExecStart=/var/log/out", "ExecStart=/etc/x"},
		},
		{
			says: "an address on the web is no path",
			text: "[Service]\nExecStart=/bin/app http://127.0.0.1:80/etc/x //double /\n",
			want: []string{"ExecStart=/bin/app"},
		},
		{
			says: "pairs of source and destination",
			text: "[Service]\nExecStart=/bin/app -v /etc/app:/config\n",
			want: []string{"ExecStart=/bin/app", "ExecStart=/etc/app:/config", "ExecStart=/etc/app", "ExecStart=/config"},
		},
		{
			says: "several commands on a line",
			text: "[Service]\nType=oneshot\nExecStart=/bin/a x ; -/bin/b /etc/b\n",
			want: []string{"ExecStart=/bin/a", "ExecStart=/bin/b", "ExecStart=/etc/b"},
		},
		{
			says: "variables: the unit's own are put in, others hide a path",
			text: "[Service]\nEnvironment=CONF=/etc/app.conf \"DIR=/srv/app\"\nExecStart=/bin/app ${CONF} $DIR ${DIR}/x /etc/$OTHER ${ELSE}\n",
			want: []string{"ExecStart=/bin/app", "ExecStart=/etc/app.conf", "ExecStart=/srv/app", "ExecStart=/srv/app/x"},
		},
		{
			says: "a variable's value is not looked at for variables",
			text: "[Service]\nEnvironment=A=/a${B} B=/b${A}\nExecStart=/bin/app ${B} x${ ${A\n",
			want: []string{"ExecStart=/bin/app"},
		},
		{
			says: "a reset forgets, a line with an open quote is ignored as systemd does",
			text: "[Service]\nExecStart=/bin/old\nExecStart=\nExecStart=/bin/new \"open\nExecStart=/bin/app\nEnvironmentFile=/a\nEnvironmentFile=\n",
			want: []string{"ExecStart=/bin/app"},
		},
		{
			says: "credentials",
			text: "[Service]\nLoadCredential=a:/etc/cred/a\nLoadCredential=b\nLoadCredential=c:relative\nLoadCredentialEncrypted=d:/etc/cred/d.enc\n",
			want: []string{"LoadCredential=/etc/cred/a", "LoadCredentialEncrypted=/etc/cred/d.enc"},
		},
		{
			says: "directories and binds",
			text: "[Service]\nConfigurationDirectory=app app/sub\nBindPaths=/srv/a:/b -/srv/c\nBindReadOnlyPaths=/etc/ssl:/ssl:rbind\nRootDirectory=/srv/root\n",
			want: []string{"ConfigurationDirectory=/etc/app", "ConfigurationDirectory=/etc/app/sub", "BindPaths=/srv/a", "BindPaths=/srv/c",
				"BindReadOnlyPaths=/etc/ssl", "RootDirectory=/srv/root"},
		},
		{
			says: "conditions and places to work in are no inputs",
			text: "[Unit]\nConditionPathExists=/etc/x\n[Service]\nWorkingDirectory=/srv\nReadWritePaths=/y\nExecSearchPath=/opt/bin\nStandardInput=file:/etc/in\n",
			want: []string{"StandardInput=/etc/in"},
		},
		{
			says: "specifiers of an instance", name: "a-b@x-y\\x2dz.service",
			text: "[Service]\nEnvironmentFile=/etc/%p/%i\nEnvironmentFile=/etc/%j/%I\nEnvironmentFile=/etc/%n\nEnvironmentFile=/etc/%N\nEnvironmentFile=/etc/%P/100%%\n",
			want: []string{`EnvironmentFile=/etc/a-b/x-y\x2dz`, "EnvironmentFile=/etc/b/x/y-z", `EnvironmentFile=/etc/a-b@x-y\x2dz.service`,
				`EnvironmentFile=/etc/a-b@x-y\x2dz`, "EnvironmentFile=/etc/a/b/100%"},
		},
		{
			says: "specifiers of the system",
			text: "[Service]\nExecStart=%h/a %t/b %S/c %C/d %L/e --x=%E/f\n",
			want: []string{"ExecStart=/root/a", "ExecStart=/run/b", "ExecStart=/var/lib/c", "ExecStart=/var/cache/d", "ExecStart=/var/log/e", "ExecStart=/etc/f"},
		},
		{
			says: "what only the host knows is left out, the rest stays",
			text: "[Service]\nEnvironmentFile=/etc/%H.env\nExecStart=/bin/app /etc/%m /etc/ok\n",
			want: []string{"ExecStart=/bin/app", "ExecStart=/etc/ok"},
		},
		{
			says: "paths of the kernel, and twice the same",
			text: "[Service]\nEnvironmentFile=/etc/app.env\nExecStart=/bin/app /dev/null /proc/self /sys /etc/app.env /bin/../bin/app /devices\n",
			want: []string{"EnvironmentFile=/etc/app.env", "ExecStart=/bin/app", "ExecStart=/devices"},
		},
		{
			says: "a socket's and a mount's own", name: "app.socket",
			text: "[Socket]\nListenStream=/run/app\nExecStopPre=/bin/x /etc/y\n[Mount]\nEnvironmentFile=/etc/m\n",
			want: []string{"ExecStopPre=/bin/x", "ExecStopPre=/etc/y", "EnvironmentFile=/etc/m"},
		},
	} {
		t.Run(row.says, func(t *testing.T) {
			name := row.name
			if name == "" {
				name = "app.service"
			}
			var got []string
			for _, r := range define(t, name, row.text).Reads() {
				got = append(got, r.Why+r.Path)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "  "), strings.Join(row.want, "  "))
			}
		})
	}
}

func TestReadsThatAUnitCannotDoWithout(t *testing.T) {
	var must []string
	for _, r := range define(t, "app.service", "[Service]\nEnvironmentFile=-/a\nEnvironmentFile=/b\nEnvironmentFile=-/c\nEnvironmentFile=/c\n"+
		"EnvironmentFile=/d/*.env\nLoadCredential=x:/e\nBindReadOnlyPaths=/f:/x -/g\nExecStart=/bin/app /h\n").Reads() {
		if r.Must {
			must = append(must, r.Path)
		}
	}
	if want := []string{"/b", "/c", "/e", "/f"}; !slices.Equal(must, want) {
		t.Errorf("got %q, want %q", must, want)
	}
}

func FuzzReads(f *testing.F) {
	for _, seed := range []string{"/bin/app /etc/x", "-@/bin/a b", "@", "; ;", `/bin/sh -c "a /b"`, "%", "/%i%", "${A}$A", "/a:/b=/c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		file, err := ParseFile("a@b.service", []byte("[Service]\nEnvironment=A=/a\nExecStart="+value+"\nEnvironmentFile="+value+"\nBindPaths="+value+"\n"))
		if err != nil {
			return
		}
		d := &Definition{Name: "a@b.service", Files: []*File{file}}
		reads := d.Reads()
		for _, r := range reads {
			if !strings.HasPrefix(r.Path, "/") || strings.HasPrefix(r.Path, "//") || !strings.HasSuffix(r.Why, "=") || strings.Contains(r.Path, "/../") {
				t.Fatalf("%q gives %+v", value, r)
			}
		}
		if !slices.Equal(reads, d.Reads()) {
			t.Fatalf("%q gives other reads the second time", value)
		}
	})
}
