package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Servers and networks that fail in the middle, seen through real servers: git
// http-backend behind nginx, and sshd. In each case the reason is plain, nothing
// that counts is changed, and the next fetch heals by itself.
func TestFaultsOnTheWay(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	first := g.push("one")
	http, ssh := g.nginx(), g.sshd()
	for i := range 30 {
		g.write(fmt.Sprintf("files/%d", i), noise(4000, int64(i)))
	}
	second := g.push("two")
	for _, row := range []struct {
		about string
		fault fault
		want  map[string]Reason // by scheme
	}{
		{"nothing is said at all", fault{0, "stall"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"it stalls in the greeting", fault{60, "stall"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"it is cut in the greeting", fault{60, "cut"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"it is reset in the greeting", fault{60, "reset"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"it stalls in the pack", fault{30_000, "stall"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"the pack is cut", fault{30_000, "cut"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"the pack is reset", fault{30_000, "reset"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"the pack drips", fault{30_000, "drip"}, map[string]Reason{"http": Unreachable, "ssh": Unreachable}},
		{"the pack is garbled", fault{30_000, "garble"}, map[string]Reason{"http": Garbage, "ssh": Unreachable}},
	} {
		for scheme, remote := range map[string]Remote{"http": http, "ssh": ssh} {
			t.Run(row.about+"/"+scheme, func(t *testing.T) {
				proxy := newFaultProxy(t, hostOf(t, remote))
				remote, dir := proxy.through(t, remote), filepath.Join(t.TempDir(), "cache")
				g.run(g.bare, "update-ref", "refs/heads/main", first)
				if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != first {
					t.Fatalf("without a fault: %q, %v", got, err)
				}
				g.run(g.bare, "update-ref", "refs/heads/main", second)
				f := row.fault
				proxy.fault.Store(&f)
				began := time.Now()
				_, err := fetchApart(t, remote, dir, 3*time.Second)
				t.Log(wantReason(t, err, row.want[scheme]))
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				repo, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				if head, err := repo.tracked(); err != nil || head.String() != first {
					t.Errorf("what was there before points at %s, %v", head, err)
				}
				repo.Close()
				proxy.fault.Store(nil)
				if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != second {
					t.Errorf("after it: %q, %v", got, err)
				}
			})
		}
	}
}

// noise does not compress.
func noise(n int, seed int64) string {
	var b strings.Builder
	x := uint64(seed)*2862933555777941757 + 3037000493
	for b.Len() < n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%016x\n", x)
	}
	return b.String()[:n]
}

func TestHistoryThatGoesBackBehindBitmaps(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	root := g.push("root")
	tip := g.pushMany(120)
	g.run(g.bare, "-c", "repack.writeBitmaps=true", "repack", "-q", "-a", "-d", "-b")
	for name, remote := range map[string]Remote{"http": g.nginx(), "ssh": g.sshd()} {
		dir := filepath.Join(t.TempDir(), "cache")
		for _, want := range []string{tip, root, tip, root} {
			g.run(g.bare, "update-ref", "refs/heads/main", want)
			if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != want {
				t.Fatalf("%s: got %q, %v; want %q", name, got, err, want)
			}
			repo, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := repo.Tree(want, ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			repo.Close()
		}
	}
}

// smallDisk mounts one, and gives the place of a cache on it.
func smallDisk(t *testing.T) (disk, cache string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small disk: run it as root")
	}
	disk = t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	return disk, filepath.Join(disk, "cache")
}

// A full or read-only disk is this host's trouble and nobody else's.
func TestFullDisk(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	g.push("one")
	remote := g.serve(nil)
	disk, dir := smallDisk(t)
	if _, err := fetchCommit(t.Context(), remote, dir); err != nil {
		t.Fatal(err)
	}
	g.write("b", noise(600_000, 1))
	second := g.push("larger than the disk")
	_, err := fetchCommit(t.Context(), remote, dir)
	if said := wantReason(t, err, Limit); !strings.Contains(said, "no space left") {
		t.Errorf("the text is %q", said)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != second {
		t.Errorf("with room: %q, %v", got, err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	g.push("one")
	remote := g.serve(nil)
	disk, dir := smallDisk(t)
	if _, err := fetchCommit(t.Context(), remote, dir); err != nil {
		t.Fatal(err)
	}
	g.write("a", "two\n")
	second := g.push("two")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := fetchCommit(t.Context(), remote, dir)
	if said := wantReason(t, err, Limit); !strings.Contains(said, "read-only") {
		t.Errorf("the text is %q", said)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != second {
		t.Errorf("when it can be written: %q, %v", got, err)
	}
}

// withRefs makes the repository have that many branches.
func (g *gitRepo) withRefs(n int) {
	g.t.Helper()
	head := g.run(g.bare, "rev-parse", "main")
	var packed strings.Builder
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range n {
		fmt.Fprintf(&packed, "%s refs/heads/branch-%06d\n", head, i)
	}
	if err := os.WriteFile(filepath.Join(g.bare, "packed-refs"), []byte(packed.String()), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// A look costs the same whatever the number of branches: here in bytes.
func TestPollsCostTheSameWhateverTheRefs(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	for name, remote := range map[string]Remote{"http": g.serve(nil), "ssh": g.sshd()} {
		sent := map[int]int64{}
		for _, refs := range []int{10, 1000, 20_000} {
			g.withRefs(refs)
			proxy := newFaultProxy(t, hostOf(t, remote))
			poller := NewPoller(proxy.through(t, remote))
			defer poller.Close()
			for range 3 {
				proxy.bytes.Store(0)
				if got, err := poller.Tip(t.Context()); err != nil || got.Commit != want {
					t.Fatalf("%s, %d refs: %v, %v", name, refs, got, err)
				}
			}
			sent[refs] = proxy.bytes.Load()
		}
		t.Logf("%s: bytes for a look: %v", name, sent)
		if sent[20_000] > 2*sent[10] || sent[1000] > 2*sent[10] {
			t.Errorf("%s: a look at more branches costs more: %v", name, sent)
		}
	}
}

// manyRefs are numbers of branches between which a look must not differ by more
// than twice, and how many looks a measurement takes.
var manyRefs = []int{10, 1000, 20_000}

const (
	looksOverHTTP = 40
	looksOverSSH  = 6
)

// And here in our own processor time, the least of some tries.
func TestPollsCostTheSameTimeWhateverTheRefs(t *testing.T) {
	const tries = 3
	g := newGitRepo(t)
	g.push("one")
	for _, row := range []struct {
		name   string
		remote Remote
		polls  int
	}{{"http", g.nginx(), looksOverHTTP}, {"ssh", g.sshd(), looksOverSSH}} {
		cost := g.cpuByRefs(row.remote, manyRefs, row.polls, tries)
		t.Logf("%s: processor time of a look: %v", row.name, cost)
		low, high := cost[manyRefs[0]], cost[manyRefs[0]]
		for _, each := range cost {
			low, high = min(low, each), max(high, each)
		}
		if low <= 0 || high > 2*low {
			t.Errorf("%s: a look costs between %v and %v: %v", row.name, low, high, cost)
		}
	}
}
