package agent

import (
	"strings"
	"testing"

	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

func TestTrailersHaveTheLastWordOnFailure(t *testing.T) {
	head := func(key, value string) source.Trailer { return source.Trailer{Commit: "head", Key: key, Value: value} }
	older := func(key, value string) source.Trailer {
		return source.Trailer{Commit: "older", Key: key, Value: value}
	}
	loose := func(t source.Trailer) source.Trailer { t.Loose = true; return t }
	for _, row := range []struct {
		about    string
		role     plan.OnFailure
		trailers []source.Trailer

		want          plan.OnFailure
		fault, warned string
	}{
		{about: "nothing is said"},
		{about: "the role says it", role: plan.Hold, want: plan.Hold},
		{about: "the newest commit says hold", trailers: []source.Trailer{head(trailerOnFailure, "hold")}, want: plan.Hold},
		{about: "in other letters", trailers: []source.Trailer{head(trailerOnFailure, "Hold")}, want: plan.Hold},
		{about: "it wins over the role", role: plan.Hold, trailers: []source.Trailer{head(trailerOnFailure, "revert")}, want: plan.Revert},
		{about: "a commit on the way says hold", trailers: []source.Trailer{older(trailerOnFailure, "hold")}, want: plan.Hold},
		{about: "and no later one takes that back", trailers: []source.Trailer{head(trailerOnFailure, "revert"), older(trailerOnFailure, "hold")}, want: plan.Hold},
		{about: "in the middle of the text it counts as well", trailers: []source.Trailer{loose(head(trailerOnFailure, "hold"))}, want: plan.Hold},
		{about: "a typing error of the newest commit is a problem", trailers: []source.Trailer{head("evenkeel-on-failur", "hold")}, fault: `unknown trailer "evenkeel-on-failur"`},
		{about: "so is a word that it does not know", trailers: []source.Trailer{head(trailerOnFailure, "stay")}, fault: "neither revert nor hold"},
		{about: "of an older one it is a warning: it cannot be mended", role: plan.Hold, trailers: []source.Trailer{older(trailerOnFailure, "stay")}, want: plan.Hold, warned: "commit older: its message says"},
		{about: "in the middle of the text it may be a quotation", trailers: []source.Trailer{loose(head("evenkeel-recover", "see there"))}},
	} {
		target := &plan.Target{Commit: "head", OnFailure: row.role}
		err := heedTrailers(target, row.trailers)
		if (err == nil) != (row.fault == "") || err != nil && !strings.Contains(err.Error(), row.fault) {
			t.Errorf("%s: %v, want %q", row.about, err, row.fault)
		}
		if err == nil && target.OnFailure != row.want {
			t.Errorf("%s: %q, want %q", row.about, target.OnFailure, row.want)
		}
		if warned := strings.Join(asText(target.Warnings), " "); !strings.Contains(warned, row.warned) || (warned == "") != (row.warned == "") {
			t.Errorf("%s: warned %q, want %q", row.about, warned, row.warned)
		}
	}
}
