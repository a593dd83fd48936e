package apply

import (
	"slices"
	"testing"
)

func TestAccountsIn(t *testing.T) {
	for _, row := range []struct {
		about, content string
		users, groups  []string
	}{
		{"a user has a group of its own", "u app - \"The app\" /srv/app\n", []string{"app"}, []string{"app"}},
		{"a locked user of systemd 257", "u! app -", []string{"app"}, []string{"app"}},
		{"a group", "g web 123\n", nil, []string{"web"}},
		{"a member makes both", "m app web\n", []string{"app"}, []string{"app", "web"}},
		{"comments and ranges make nothing", "# u app\n\nr - 500-900\n", nil, nil},
		{"a quoted name", `u "app" -`, []string{"app"}, []string{"app"}},
		{"half a line", "u\n", nil, nil},
	} {
		users, groups := AccountsIn([]byte(row.content))
		if !slices.Equal(users, row.users) || !slices.Equal(groups, row.groups) {
			t.Errorf("%s: %q makes users %q and groups %q, want %q and %q", row.about, row.content, users, groups, row.users, row.groups)
		}
	}
}

func TestIsSysusers(t *testing.T) {
	for name, want := range map[string]bool{
		"/etc/sysusers.d/app.conf": true, "/usr/local/lib/sysusers.d/app.conf": true,
		"/etc/sysusers.d/app.txt": false, "/etc/sysusers.d/sub/app.conf": false, "/etc/sysctl.d/app.conf": false,
	} {
		if IsSysusers(name) != want {
			t.Errorf("IsSysusers(%q) is %v", name, !want)
		}
	}
}
