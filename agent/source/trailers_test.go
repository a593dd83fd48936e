package source

import (
	"fmt"
	"slices"
	"testing"
)

func TestTrailersOfAMessage(t *testing.T) {
	hold := Trailer{Commit: "c", Key: "evenkeel-on-failure", Value: "hold"}
	loose := hold
	loose.Loose = true
	for _, row := range []struct {
		about, message string
		want           []Trailer
	}{
		{"alone after the subject", "Migrate\n\nEvenkeel-On-Failure: hold\n", []Trailer{hold}},
		{"among others, in other letters, with the line ends of another system", "Migrate\r\n\r\nIt is late.\r\n\r\nSigned-off-by: A <a@example.com>\r\nevenkeel-on-failure: hold\r\n(cherry picked from commit 0123)\r\n", []Trailer{hold}},
		{"two of them", "Migrate\n\nEvenkeel-On-Failure: hold\nEvenkeel-Other:  x y \n", []Trailer{hold, {Commit: "c", Key: "evenkeel-other", Value: "x y"}}},
		{"in the text, as a forge leaves it that squashes", "Migrate (#12)\n\n* Migrate\n\nEvenkeel-On-Failure: hold\n\n* Fix it\n\nCo-authored-by: B <b@example.com>\n", []Trailer{loose}},
		{"in a paragraph with other text", "Migrate\n\nThis one has no way back.\nEvenkeel-On-Failure: hold\n", []Trailer{loose}},
		{"right after the subject, which makes it part of that paragraph", "Migrate\nEvenkeel-On-Failure: hold\n", []Trailer{loose}},
		{"in the subject", "Evenkeel-On-Failure: hold\n", nil},
		{"in the middle of a line", "Migrate\n\nSee Evenkeel-On-Failure: hold\n", nil},
		{"somebody else's", "Migrate\n\nOn-Failure: hold\n", nil},
		{"no message", "", nil},
	} {
		if got := trailersOf("c", row.message); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q: %+v, want %+v", row.about, row.message, got, row.want)
		}
	}
}

// A commit that says hold counts on a host that skips over it, and behind a merge;
// one that the host is at already does not.
func TestTrailersSinceTheGoodCommit(t *testing.T) {
	g := newGitRepo(t)
	say := func(what string) string {
		return fmt.Sprintf("commit %s\n\nEvenkeel-On-Failure: hold\nEvenkeel-Number: %s\n", what, what)
	}
	base := g.push(say("base"))
	good := g.push(say("good"))
	skipped := g.push(say("skipped"))
	g.run(g.work, "checkout", "-q", "-b", "side", base)
	g.run(g.work, "commit", "-q", "--allow-empty", "-m", say("side"))
	g.run(g.work, "checkout", "-q", "-B", "main", skipped)
	g.run(g.work, "merge", "-q", "--no-ff", "-m", "merge the side", "side")
	head := g.push("the newest")
	repo, err := Open(g.bare)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	for _, row := range []struct {
		about, old, new string
		want            []string
	}{
		{"all that the host has not seen, the side of the merge included", good, head, []string{"side", "skipped"}},
		{"only the commit itself where nothing was good yet", "", skipped, []string{"skipped"}},
		{"nothing new", head, head, nil},
		{"a good commit that is not in the clone any more", "0123456789012345678901234567890123456789", good, []string{"base", "good"}},
	} {
		trailers, err := repo.Trailers(row.old, row.new)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, trailer := range trailers {
			if trailer.Key == "evenkeel-number" {
				got = append(got, trailer.Value)
			}
		}
		if slices.Sort(got); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.about, got, row.want)
		}
	}
	if _, err := repo.Trailers("no hash", head); err == nil {
		t.Error("what is no hash is taken for one")
	}
}

func TestAllowsPrune(t *testing.T) {
	for _, row := range []struct {
		about, message string
		want           bool
	}{
		{"the trailer alone after the subject", "Drop the old site\n\nEvenkeel-Allow-Prune: true\n", true},
		{"among other trailers, in other letters", "Drop it\n\nIt is old.\n\nSigned-off-by: A <a@example.com>\nevenkeel-allow-prune: True\n(cherry picked from commit 0123)\n", true},
		{"with the line ends of another system", "Drop it\r\n\r\nEvenkeel-Allow-Prune: true\r\n", true},
		{"a continued trailer beside it", "Drop it\n\nReviewed-by: A\n and B\nEvenkeel-Allow-Prune: true\n", true},
		{"no trailer", "Drop the old site\n", false},
		{"an empty message", "", false},
		{"another value", "Drop it\n\nEvenkeel-Allow-Prune: maybe\n", false},
		{"in the subject, which is no trailer", "Evenkeel-Allow-Prune: true\n", false},
		{"quoted in the text", "Explain it\n\nWrite\nEvenkeel-Allow-Prune: true\nin the message.\n", false},
		{"in a paragraph that others follow", "Drop it\n\nEvenkeel-Allow-Prune: true\n\nNo, wait.\n", false},
	} {
		if got := allowsPrune(row.message); got != row.want {
			t.Errorf("%s: %q: %v, want %v", row.about, row.message, got, row.want)
		}
	}
}
