//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// vim saves a file with some settings, in ex mode.
func vim(settings string) string {
	return "vim.tiny -u NONE -N -es -c 'set swapfile updatecount=1 " + settings + "' -c '%s/^/by hand: /' -c wq \"$1\" </dev/null"
}

// typed gives keys to a program on a terminal, once it has locked the file as vim does:
// what is typed before is lost.
func typed(keys, program string) string {
	return `mkfifo /run/keys
TERM=xterm script -qec "` + program + ` $1" /dev/null </run/keys >/dev/null &
exec 3>/run/keys
for i in $(seq 3000); do [ -e "${1%/*}/.${1##*/}.swp" ] && break; sleep 0.01; done
printf '` + keys + `' >&3
wait $!
exec 3>&-
rm /run/keys`
}

// saves are what editors and other programs do to a file, as scripts with its path as
// their first argument. Backup files that they leave are removed at the end of each.
var saves = []struct{ name, script string }{
	{"vim", vim("backupcopy=auto nobackup writebackup")},
	{"vim, renaming", vim("backupcopy=no nobackup writebackup")},
	{"vim, renaming with a backup", vim("backupcopy=no backup writebackup")},
	{"vim, in place", vim("backupcopy=yes nobackup writebackup")},
	{"vim, in place with a backup", vim("backupcopy=yes backup writebackup")},
	{"vim, in place without anything", vim("nobackup nowritebackup")},
	{"vim on a terminal", typed(`Oby hand\033:wq\r`, "vim.tiny -u NONE -N")},
	{"nano", typed(`by hand\017\r\030`, "nano --locking")},
	{"nano with a backup", typed(`by hand\017\r\030`, "nano --locking --backup")},
	{"sed -i", `sed -i '1s/^/by hand: /' "$1"`},
	{"sed -i with a backup", `sed -i~ '1s/^/by hand: /' "$1"`},
	{"perl -i", `perl -i -pe 's/^/by hand: /' "$1"`},
	{"perl -i with a backup", `perl -i~ -pe 's/^/by hand: /' "$1"`},
	{"cp", `echo by hand >/var/tmp/other; cp /var/tmp/other "$1"`},
	{"cp -a with a backup", `echo by hand >/var/tmp/other; cp -a --backup /var/tmp/other "$1"`},
	{"cp --remove-destination", `echo by hand >/var/tmp/other; cp --remove-destination /var/tmp/other "$1"`},
	{"mv from another file system", `echo by hand >/run/other; mv -f /run/other "$1"`},
	{"install", `echo by hand >/var/tmp/other; install -m 0600 /var/tmp/other "$1"`},
	{"tee", `echo by hand | tee "$1" >/dev/null`},
	{"tee -a", `echo by hand | tee -a "$1" >/dev/null`},
	{"dd", `echo by hand | dd of="$1" conv=notrunc status=none`},
	{"truncate", `truncate -s 3 "$1"`},
}

// However a program saves a file, that is one change by hand and has one correction.
func TestSaveOfAnEditorIsOneCorrection(t *testing.T) {
	onEachRelease(t, savesAreOneCorrection)
}

func savesAreOneCorrection(t *testing.T, h *lab.Host) {
	h.InstallSet("editors")
	s := newSite(t, h)
	var files strings.Builder
	place := func(i int) string { return fmt.Sprintf("/etc/edited/%d.conf", i) }
	for i := range saves {
		s.repo.Write("roles/base/files"+place(i), strings.Repeat(fmt.Sprintf("file %d\n", i), 100))
		fmt.Fprintf(&files, "\n  %s: {feeds: none}", place(i))
	}
	s.repo.Edit("roles/base/role.yaml", "files:", "files:"+files.String())
	s.settled()
	s.waitNoDrift()
	good := h.Snapshot("/etc/edited")
	want := s.corrections()
	for i, save := range saves {
		was, began := h.ReadFile(place(i)), time.Now()
		h.Must("/bin/bash", "-euo", "pipefail", "-c", save.script+"; rm -f \"$1\"~", "save", place(i))
		want++
		if !lab.Poll(soon, func() bool {
			st := s.live()
			return st.Attempt == nil && st.Stage == "idle" && len(st.Drift) == 0 && s.corrections() >= want && h.ReadFile(place(i)) == was
		}) {
			t.Fatalf("%s: not corrected: the file is %.200q, %d corrections are counted, want %d; the status is %+v", save.name, h.ReadFile(place(i)), s.corrections(), want, s.status())
		}
		t.Logf("%s: %v", save.name, time.Since(began).Round(time.Millisecond))
		if i == len(saves)-1 {
			s.waitPolls(3) // a second correction would follow from what the first one did
		}
		if got := s.corrections(); got != want {
			t.Errorf("%s, or the one before: %d corrections too many", save.name, got-want)
			want = got
		}
		if diff := good.Diff(h.Snapshot("/etc/edited")); diff != "" {
			t.Errorf("%s: not everything is as it was:\n%s", save.name, diff)
		}
	}
}

// live is the status as the daemon wrote it last, without a process in the host.
func (s *site) live() status {
	text, err := s.host.ReadLive(statusFile)
	if err != nil {
		return status{}
	}
	return readStatus(text)
}
