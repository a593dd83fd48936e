package manifest

import (
	"strings"

	"evenkeel/units"
)

// WellKnown says what becomes of files that other programs read than those of listed
// services: who is told of a change, and who judges a file before anything is touched.
// docs/evenkeel.yaml.5.md has the same table, held by a test.
type WellKnown struct {
	Files    string     // a pattern, as in restart_on
	Verb     units.Verb // what is done to the unit; "" for none
	Units    []string   // the first of these that runs on the host
	Create   bool       // systemd-tmpfiles makes what the file says
	Validate []string   // a word "FILE" stands for the path; without one it runs once for all of them
	Note     string     // why nothing else is done
}

// WellKnownFiles is the table. Where two rows fit a file, both count.
func WellKnownFiles() []WellKnown {
	return []WellKnown{
		{Files: "/etc/sysctl.d/*.conf", Verb: units.Restart, Units: []string{"systemd-sysctl.service"}},
		{Files: "/etc/sysusers.d/*.conf", Validate: []string{"systemd-sysusers", "--dry-run", fileWord}, Note: "the accounts are made before the first file changes"},
		{Files: "/etc/tmpfiles.d/*.conf", Create: true},
		{Files: "/etc/modules-load.d/*.conf", Verb: units.Restart, Units: []string{"systemd-modules-load.service"}},
		{Files: "/etc/binfmt.d/*.conf", Verb: units.Restart, Units: []string{"systemd-binfmt.service"}},
		{Files: "/etc/udev/rules.d/*.rules", Verb: units.Reload, Units: []string{"systemd-udevd.service"}},
		{Files: "/etc/systemd/network/**", Verb: units.Reload, Units: []string{"systemd-networkd.service"}},
		{Files: "/etc/systemd/networkd.conf", Verb: units.Restart, Units: []string{"systemd-networkd.service"}},
		{Files: "/etc/systemd/networkd.conf.d/*.conf", Verb: units.Restart, Units: []string{"systemd-networkd.service"}},
		{Files: "/etc/systemd/resolved.conf", Verb: units.Restart, Units: []string{"systemd-resolved.service"}},
		{Files: "/etc/systemd/resolved.conf.d/*.conf", Verb: units.Restart, Units: []string{"systemd-resolved.service"}},
		{Files: "/etc/systemd/journald.conf", Verb: units.Restart, Units: []string{"systemd-journald.service"}},
		{Files: "/etc/systemd/journald.conf.d/*.conf", Verb: units.Restart, Units: []string{"systemd-journald.service"}},
		{Files: "/etc/systemd/timesyncd.conf", Verb: units.Restart, Units: []string{"systemd-timesyncd.service"}},
		{Files: "/etc/systemd/timesyncd.conf.d/*.conf", Verb: units.Restart, Units: []string{"systemd-timesyncd.service"}},
		{Files: "/etc/dbus-1/system.d/*.conf", Verb: units.Reload, Units: []string{"dbus.service"}},
		{Files: "/etc/logrotate.d/*", Validate: []string{"/usr/sbin/logrotate", "-d", fileWord}, Note: "read at each run"},
		{Files: "/etc/cron.d/*", Note: "cron sees it by itself"},
		{Files: "/etc/sudoers.d/*", Validate: []string{"/usr/sbin/visudo", "-c", "-f", fileWord}, Note: "read at each call; only where the host allows it"},
		{Files: "/etc/nginx/**", Verb: units.Reload, Units: []string{"nginx.service"}, Validate: []string{"/usr/sbin/nginx", "-t"}},
		{Files: "/etc/ssh/sshd_config.d/*.conf", Verb: units.Reload, Units: []string{"ssh.service", "sshd.service"}, Validate: []string{"/usr/sbin/sshd", "-t"}},
	}
}

// fileWord stands for the path in WellKnown.Validate.
const fileWord = "FILE"

// Fits reports whether the row is about a path.
func (k WellKnown) Fits(name string) bool {
	plain, _, _ := strings.Cut(k.Files, "*") // spares most paths the pattern
	return strings.HasPrefix(name, plain) && covers(k.Files, name)
}

// Validator gives the command that judges the file, nil for none, and whether it
// judges all files of the row at once.
func (k WellKnown) Validator(name string) (argv []string, all bool) {
	all = true
	for _, word := range k.Validate {
		if word == fileWord {
			word, all = name, false
		}
		argv = append(argv, word)
	}
	return argv, all
}

// hasOwnAction reports whether a change of the path takes effect without a restart
// of a listed service: unit files by daemon-reload, and what is well known.
func hasOwnAction(name string) bool {
	if unit, isDropIn, ok := unitOf(name); ok && !isDropIn && unit != "" {
		return true
	}
	for _, k := range WellKnownFiles() {
		if k.Fits(name) {
			return true
		}
	}
	return false
}
