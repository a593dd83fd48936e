package apply

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// A commit that would fill a disk waits, and the reason says where room is
// needed and how much.
func TestRoomOnSmallDisks(t *testing.T) {
	root := t.TempDir()
	mount(t, "none", filepath.Join(root, "state"), "tmpfs", 0, "size=4m")
	mount(t, "none", filepath.Join(root, "srv"), "tmpfs", 0, "size=4m,nr_inodes=100")
	disk := diskAt(t, root)
	content := func(digest string) ([]byte, error) {
		if digest == "lost" {
			return nil, errors.New("the copy is damaged")
		}
		return make([]byte, 2<<20), nil
	}
	file := func(name, digest string) Move {
		return Move{Path: name, After: plan.Path{Kind: plan.File, Digest: digest}}
	}
	many := func(n int) (moves []Move) {
		for range n {
			moves = append(moves, Move{Path: "/srv/new/link", After: plan.Path{Kind: plan.Link, Link: "x"}})
		}
		return moves
	}
	for _, row := range []struct {
		about string
		moves []Move
		want  string // in the error
	}{
		{about: "nothing to stage", moves: nil},
		{about: "one file fits, and leaves some room", moves: []Move{file("/srv/a", "x")}},
		{about: "two files do not fit together", moves: []Move{file("/srv/a", "x"), file("/srv/b", "x")}, want: `room below "/srv": 5120 KiB are needed and 4096 KiB are free`},
		{about: "a directory that is not there yet counts where it will be", moves: []Move{file("/srv/new/a", "x"), file("/srv/new/b", "x")}, want: `below "/srv"`},
		{about: "two file systems are counted apart", moves: []Move{file("/srv/a", "x"), file("/state/b", "x")}},
		{about: "what goes needs nothing", moves: []Move{{Path: "/srv/a", Before: plan.Path{Kind: plan.File}}, {Path: "/srv/b", Stays: true, After: plan.Path{Kind: plan.File, Digest: "x"}}}},
		{about: "inodes run out before bytes do", moves: many(60), want: `124 inodes are needed and 99 are free`},
		{about: "content that cannot be read", moves: []Move{file("/srv/a", "lost")}, want: "the copy is damaged"},
	} {
		t.Run(row.about, func(t *testing.T) {
			err := Room(disk, "/state", row.moves, content)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("Room says %v, want %q", err, row.want)
			}
		})
	}
}
