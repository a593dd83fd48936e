//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"evenkeel/e2e/lab"
)

// answerProgram is where a scenario's units find ../testdata/answer.
const answerProgram = "/usr/lib/evenkeel-lab/answer"

// vendorUnit is a unit that every host has from a package, and that runs.
const vendorUnit = `[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/true

[Install]
WantedBy=multi-user.target
`

// TestScenarios runs the stories of testdata/scenarios on each release, and prints how
// each ended. Its README says what a story is made of.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	results := &scenarioTable{rows: map[string]*scenarioRow{}}
	t.Cleanup(func() { results.print(len(files)) })
	t.Parallel()
	for _, release := range storied() {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			plain, system := scenarioHosts(t, release), (*hosts)(nil)
			if release != withPodman {
				system = scenarioHosts(t, release+"-system")
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
					t.Parallel()
					s := readScenario(t, file)
					if s.only != release && (s.only != "" || release == withPodman) {
						return
					}
					begin := time.Now()
					t.Cleanup(func() { results.add(s, release, !t.Failed(), time.Since(begin)) })
					if s.system {
						s.playOn(system)
					} else {
						s.playOn(plain)
					}
				})
			}
		})
	}
}

// withPodman is the release of the hosts for containers. They play no other stories.
const withPodman = "trixie-podman"

// storied are the releases that have stories.
func storied() []string { return append(slices.Clone(releases), withPodman) }

// giveImage makes the image localhost/box, with nothing in it but busybox. Podman asks for
// two things that a host in a container may not have: a controller of cgroups for its
// limit of processes, and a disk that overlayfs can lie on.
func giveImage(h *lab.Host) {
	h.WriteFile("/etc/containers/containers.conf", "[containers]\npids_limit = 0\n", 0o644)
	h.WriteFile("/etc/containers/storage.conf", "[storage]\ndriver = \"vfs\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n", 0o644)
	h.Must("systemctl", "mask", "netavark-dhcp-proxy.service", "netavark-dhcp-proxy.socket") // it ends when nothing asks it
	h.Script(`mkdir -p /tmp/box/bin && cp /bin/busybox /tmp/box/bin/
tar -C /tmp/box -c . | podman import --quiet - localhost/box && rm -r /tmp/box`)
}

// scenarioHosts are hosts from one of the root file systems, with what every story finds.
func scenarioHosts(t *testing.T, rootfs string) *hosts {
	t.Helper()
	base := theLab.Host(t, rootfs, "web-1")
	base.Install(packageFile(t, "EVENKEEL_DEB"))
	answer, err := os.ReadFile("testdata/answer")
	if err != nil {
		t.Fatal(err)
	}
	base.WriteFile(answerProgram, string(answer), 0o755)
	base.WriteFile("/usr/lib/systemd/system/vendor.service", vendorUnit, 0o644)
	base.Must("systemctl", "enable", "vendor.service")
	if rootfs == withPodman {
		giveImage(base)
	}
	return newHosts(t, base.Freeze())
}

// scenarioTable is what TestScenarios says at its end.
type scenarioTable struct {
	mu   sync.Mutex
	rows map[string]*scenarioRow
}

type scenarioRow struct {
	about string
	ends  map[string]string // release -> how it ended
	bad   bool
}

func (r *scenarioTable) add(s *scenario, release string, ok bool, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := r.rows[s.name]
	if row == nil {
		row = &scenarioRow{about: s.about, ends: map[string]string{}}
		r.rows[s.name] = row
	}
	word := "ok"
	if !ok {
		word, row.bad = "FAILED", true
	}
	row.ends[release] = fmt.Sprintf("%s %.0fs", word, took.Seconds())
}

func (r *scenarioTable) print(all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "scenario\t%s\twhat it shows\n", strings.Join(storied(), "\t"))
	good := 0
	names := make([]string, 0, len(r.rows))
	for name := range r.rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		row := r.rows[name]
		fmt.Fprintf(table, "%s", name)
		for _, release := range storied() {
			fmt.Fprintf(table, "\t%s", row.ends[release])
		}
		fmt.Fprintf(table, "\t%s\n", row.about)
		if !row.bad {
			good++
		}
	}
	table.Flush()
	fmt.Printf("%s%d of %d scenarios ran, %d as they shall on all of their releases\n", out.String(), len(names), all, good)
}

// scenario is one story and how far it has come.
type scenario struct {
	t       *testing.T
	name    string
	about   string
	alone   bool   // it changes on the host what no commit takes back
	system  bool   // its host has the programs of e2e/rootfs.sh's -system
	only    string // the release that it is for, "" for all
	story   []storyLine
	config  string
	commits map[string][]txtar.File

	*site
	ids     map[string]string // commits by their names in the story
	newest  string            // id of the last one
	begin   time.Time
	closes  time.Time    // @CLOSES@, once somebody has named it
	files   lab.Snapshot // when it was marked, and so on
	running map[string]unitState
	before  map[string]unitState // what ran when the last commit came
	journal string               // cursor of its last entry then
}

type storyLine struct {
	line int
	verb string
	rest string
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{
		t: t, name: strings.TrimSuffix(filepath.Base(file), ".txtar"),
		commits: map[string][]txtar.File{}, ids: map[string]string{},
	}
	for i, line := range strings.Split(strings.TrimLeft(string(archive.Comment), "\n"), "\n") {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" && s.about != "" && s.story == nil:
			s.story = []storyLine{}
		case line == "" || strings.HasPrefix(line, "#"):
		case s.story == nil:
			s.about = strings.TrimSpace(s.about + " " + line)
		case line == "alone":
			s.alone = true
		case line == "system":
			s.system = true
		case verb == "only":
			s.only = rest
		default:
			s.story = append(s.story, storyLine{i + 1, verb, strings.TrimSpace(rest)})
		}
	}
	for _, f := range archive.Files {
		if f.Name == "host.yaml" {
			s.config = string(f.Data)
			continue
		}
		name, path, below := strings.Cut(f.Name, "/")
		if !below {
			t.Fatalf("%s: %q is neither host.yaml nor a file of a commit", file, f.Name)
		}
		s.commits[name] = append(s.commits[name], txtar.File{Name: path, Data: f.Data})
	}
	return s
}

// play tells the story, up to the first line that is not as it shall be.
func (s *scenario) play(h *lab.Host) {
	s.t.Helper()
	s.begin = time.Now()
	s.site = &site{t: s.t, host: h, repo: theLab.Repo(s.t, "config")}
	s.t.Cleanup(s.tellIfFailed)
	s.server = theLab.Serve(s.t, s.repo, "", "")
	if !slices.ContainsFunc(s.story, func(l storyLine) bool { return l.verb == "commit" }) {
		s.t.Fatalf("%s: no commit comes", s.name)
	}
	for _, line := range s.story {
		do := s.verbs()[line.verb]
		if do == nil {
			s.t.Fatalf("%s:%d: there is no command %q", s.name, line.line, line.verb)
		}
		if fault := do(s.placed(line.rest)); fault != "" {
			s.t.Fatalf("%s:%d: %s %s: %s", s.name, line.line, line.verb, line.rest, fault)
		}
	}
}

// placed puts in what a story cannot know.
func (s *scenario) placed(text string) string {
	if strings.Contains(text, "@CLOSES@") && s.closes.IsZero() {
		s.closes = turn(20 * time.Second)
	}
	return strings.NewReplacer(
		"@GATEWAY@", theLab.Gateway().String(), "@REPO@", s.server.URL(),
		"@CLOSES@", s.closes.Format("15:04"), "@OPENED@", s.closes.Add(-time.Hour).Format("15:04"),
		"@PAST-CLOSING@", (time.Until(s.closes) + 8*time.Second).Round(time.Second).String(),
	).Replace(text)
}

// verbs are the commands. Each gives what is not as it shall be, "" for nothing.
func (s *scenario) verbs() map[string]func(rest string) string {
	return map[string]func(string) string{
		"commit":    s.commit,
		"good":      s.good,
		"rejected":  s.verdict("rejected", func(st scenarioStatus) bool { return st.isRejected(s.newest) }),
		"held":      s.verdict("held", func(st scenarioStatus) bool { return st.Held != nil }),
		"refused":   s.verdict("refused", func(st scenarioStatus) bool { return len(st.Refused) > 0 }),
		"deferred":  s.verdict("deferred", func(st scenarioStatus) bool { return st.Deferred != nil && st.Deferred.Commit == s.newest }),
		"waiting":   s.verdict("waiting", func(st scenarioStatus) bool { return len(st.Waiting) > 0 }),
		"watching":  s.watching,
		"at":        s.at,
		"mark":      func(string) string { s.mark(); return "" },
		"same":      s.same,
		"restarted": s.processes(true),
		"kept":      s.processes(false),
		"active":    s.are("active"),
		"inactive":  s.are("inactive"),
		"failed":    s.are("failed"),
		"file":      s.file,
		"gone":      func(path string) string { return s.soonSo("it is there", func() bool { return !s.host.Exists(path) }) },
		"status":    s.says("evenkeel", "status"),
		"history":   s.historyHas,
		"reloads":   s.reloads,
		"log":       s.says("journalctl", "--no-pager", "-o", "cat", "-u", "evenkeel.service", "--since", fmt.Sprintf("@%d", s.begin.Unix())),
		"metric":    s.metricIs,
		"run":       s.run(true),
		"fails":     s.run(false),
		"evenkeel":  s.evenkeel,
		"kill": func(string) string {
			s.host.Must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "evenkeel.service")
			return ""
		},
		"reboot":   func(string) string { s.host.Reboot(); return "" },
		"powercut": func(string) string { s.host.PowerCut(); s.host.Boot(); return "" },
		"debs":     func(set string) string { s.host.InstallSet(set); return "" },
		"closes":   s.waitClosed,
		"network":  oneOf(map[string]func(){"up": s.networkUp, "down": s.networkDown}),
		"server":   oneOf(map[string]func(){"up": s.serverUp, "down": s.serverDown, "broken": s.serverBroken}),
	}
}

func oneOf(words map[string]func()) func(string) string {
	return func(word string) string {
		do := words[word]
		if do == nil {
			return "there is no such word"
		}
		do()
		return ""
	}
}

func (s *scenario) networkUp()   { s.host.RestoreNetwork() }
func (s *scenario) networkDown() { s.host.CutNetwork() }
func (s *scenario) serverDown()  { s.server.Stop() }

func (s *scenario) serverUp() {
	s.server.Answer(nil)
	s.server.Stop()
	s.server.Start()
}

func (s *scenario) serverBroken() {
	s.server.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", http.StatusBadGateway) })
}
