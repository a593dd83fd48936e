package manifest

import (
	"strings"
	"testing"
)

func TestEditRole(t *testing.T) {
	key := RoleAdditions{Files: map[string]Attributes{"/etc/app/key": {Mode: 0o640, DefaultMode: 0o644, Owner: "root", Group: "app"}}}
	plain := RoleAdditions{Files: map[string]Attributes{"/etc/motd": {Mode: 0o644, DefaultMode: 0o644, Owner: "root", Group: "root"}}}
	all := RoleAdditions{
		Files:       map[string]Attributes{"/etc/app/key": {Mode: 0o640, DefaultMode: 0o644, Owner: "root", Group: "app"}},
		Directories: map[string]Attributes{"/srv/app": {Mode: 0o755, DefaultMode: 0o755, Owner: "app", Group: "1000"}},
		Links:       map[string]string{"/etc/app/now": "../v 2: new"},
		Services:    map[string]bool{"app.service": true, "old.service": false},
	}
	for _, row := range []struct {
		about string
		add   RoleAdditions
		force bool
		text  string
		want  string // or "problem: ..."
	}{
		{"a new file", all, false, "", `files:
  /etc/app/key: {mode: "0640", group: app}
directories:
  /srv/app: {owner: app, group: "1000"}
links:
  /etc/app/now: "../v 2: new"
services:
  app.service: {}
  old.service: {enabled: false}
`},
		{"nothing to say about a plain file", plain, false, "# mine\n", "# mine\n"},
		{"a file with comments only, without a last line end", key, false, "# mine", "# mine\nfiles:\n  /etc/app/key: {mode: \"0640\", group: app}\n"},
		{"comments, order and blank lines stay", all, false, `# The app.

services: # what runs
  # the main thing
  web.service:
    checks:
      - http: http://127.0.0.1/
    # nothing else

# Who owns what.
files:
    /etc/web.conf:
        mode: "0600"   # secret

    # the end of it

# vim: ts=4
`, `# The app.

services: # what runs
  # the main thing
  web.service:
    checks:
      - http: http://127.0.0.1/
    # nothing else
  app.service: {}
  old.service: {enabled: false}

# Who owns what.
files:
    /etc/web.conf:
        mode: "0600"   # secret

    # the end of it
    /etc/app/key: {mode: "0640", group: app}
directories:
  /srv/app: {owner: app, group: "1000"}
links:
  /etc/app/now: "../v 2: new"

# vim: ts=4
`},
		{"a section that is empty", key, false, "files:\nservices: {}\n", "files:\n  /etc/app/key: {mode: \"0640\", group: app}\nservices: {}\n"},
		{"a section that holds comments only", key, false, "files: # x\n\n  # none yet\n\n# What runs.\nservices: {}\n", "files: # x\n\n  # none yet\n  /etc/app/key: {mode: \"0640\", group: app}\n\n# What runs.\nservices: {}\n"},
		{"a section that is null", key, false, "files: ~ # none\n", "files: {/etc/app/key: {mode: \"0640\", group: app}} # none\n"},
		{"sections in braces", key, false, "files: {}\nlinks: {/a: b}\n", "files: {/etc/app/key: {mode: \"0640\", group: app}}\nlinks: {/a: b}\n"},
		{"a section in braces that is not empty", key, false, "files: {/etc/é: {feeds: none}} # é\n", "files: {/etc/app/key: {mode: \"0640\", group: app}, /etc/é: {feeds: none}} # é\n"},
		{"all in braces", key, false, "{files: {/etc/x: }}\n", "{files: {/etc/app/key: {mode: \"0640\", group: app}, /etc/x: }}\n"},
		{"an entry without attributes", key, false, "files:\n  /etc/app/key: # later\n  /etc/b:\n", "files:\n  /etc/app/key: {mode: \"0640\", group: app} # later\n  /etc/b:\n"},
		{"an entry that says some of it", key, false, "files:\n  /etc/app/key: {feeds: none, mode: \"640\"}\n", "files:\n  /etc/app/key: {group: app, feeds: none, mode: \"640\"}\n"},
		{"an entry in lines", key, false, "files:\n  /etc/app/key:\n    feeds: none # and so on\n  /etc/b: {}\n", "files:\n  /etc/app/key:\n    feeds: none # and so on\n    mode: \"0640\"\n    group: app\n  /etc/b: {}\n"},
		{"an entry that says all of it", key, false, "files:\n  /etc/app/key: {mode: \"0640\", owner: root, group: app}\n", "files:\n  /etc/app/key: {mode: \"0640\", owner: root, group: app}\n"},
		{"an entry that says otherwise", key, false, "files:\n  /etc/app/key: {mode: \"0600\",\n    owner: app}\n", `problem: role.yaml:2: it says mode: 0600 for "/etc/app/key", and on this host it is 0640
role.yaml:3: it says owner: app for "/etc/app/key", and on this host it is root`},
		{"an entry that says otherwise, forced", key, true, "files:\n  '/etc/app/key': {mode: '0600', # é\n    owner: app}\n", "files:\n  '/etc/app/key': {group: app, mode: \"0640\", # é\n    owner: root}\n"},
		{"an entry that is no mapping", key, true, "files:\n  /etc/app/key: 5\n", `problem: role.yaml:2: "/etc/app/key" cannot be added to (write it as a mapping)`},
		{"a plain file whose entry says otherwise", plain, false, "files:\n  /etc/motd: {mode: \"0600\"}\n", `problem: role.yaml:2: it says mode: 0600 for "/etc/motd", and on this host it is 0644`},
		{"a link that leads elsewhere", RoleAdditions{Links: map[string]string{"/etc/a": "b"}}, false, "links:\n  /etc/a: c\n", `problem: role.yaml:2: it says that the link "/etc/a" leads to "c", and on this host it leads to "b"`},
		{"a link that leads elsewhere, forced", RoleAdditions{Links: map[string]string{"/etc/a": "b"}}, true, "links:\n  /etc/a: \"c\\\"\" # x\n", "links:\n  /etc/a: b # x\n"},
		{"a service that is listed", RoleAdditions{Services: map[string]bool{"a.service": true}}, false, "services:\n  a.service: {settle: 1s}\n", "services:\n  a.service: {settle: 1s}\n"},
		{"a service that is listed as enabled and is not", RoleAdditions{Services: map[string]bool{"a.service": false}}, false, "services:\n  a.service: {settle: 1s}\n", "services:\n  a.service: {enabled: false, settle: 1s}\n"},
		{"a block of text at the end of a section", key, false, "files:\n  /etc/a:\n    feeds: >-\n      none\n\n# more\nlinks: {}\n", "files:\n  /etc/a:\n    feeds: >-\n      none\n  /etc/app/key: {mode: \"0640\", group: app}\n\n# more\nlinks: {}\n"},
		{"a document that ends by a mark", key, false, "---\nfiles:\n  /etc/a: {}\n...\n", "---\nfiles:\n  /etc/a: {}\n  /etc/app/key: {mode: \"0640\", group: app}\n...\n"},
		{"a file with faults", key, false, "file:\n", `problem: role.yaml:1:1: unknown key "file" in role.yaml (did you mean "files"?)`},
		{"a file that is no mapping", key, false, "- a\n", "problem: role.yaml:1:1: role.yaml must be a mapping of keys to values, found a list"},
		{"what an anchor stands for is not changed behind its back", key, false, "files: &f\n  /etc/a: {}\ndirectories: *f\n", "problem: role.yaml: this file is written in a way that cannot be added to without changing something else (write it with one key a line, as the examples are)"},
	} {
		got, err := EditRole("role.yaml", []byte(row.text), row.add, row.force)
		text := string(got)
		if err != nil {
			text = "problem: " + err.Error()
		}
		if text != row.want {
			t.Errorf("%s:\n--- got\n%s\n--- want\n%s", row.about, text, row.want)
		}
	}
}

// Whatever role.yaml holds, adding to it ends in a file that says both, or in a
// problem.
func FuzzEditRole(f *testing.F) {
	for _, seed := range []string{"", "files:\n  /etc/a: {}\n", "files: {}\n", "links:\n\n", "services:\n  a.service:\n    after: []\n# x", "{files: }", "files:\n  ? /etc/x\n  : {}\n"} {
		f.Add(seed)
	}
	add := RoleAdditions{
		Files:    map[string]Attributes{"/etc/x": {Mode: 0o600, DefaultMode: 0o644, Owner: "root", Group: "root"}},
		Links:    map[string]string{"/etc/l": "x"},
		Services: map[string]bool{"a.service": false},
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := EditRole("role.yaml", []byte(text), add, true)
		if err != nil {
			return
		}
		again, err := EditRole("role.yaml", got, add, false)
		if err != nil || string(again) != string(got) {
			t.Errorf("%q became %q, and then %q: %v", text, got, again, err)
		}
		for line := range strings.Lines(text) {
			if comment := strings.TrimSpace(line); strings.HasPrefix(comment, "#") && !strings.Contains(string(got), comment) {
				t.Errorf("%q lost a comment: %q", text, got)
			}
		}
	})
}
