package units

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestOrder(t *testing.T) {
	for _, row := range []struct {
		says  string
		names string
		after string // "a>b" is: a comes after b
		want  string // waves, "|" between them
		cycle string
	}{
		{says: "nothing", names: "", want: ""},
		{says: "no order: one wave, sorted", names: "c a b", want: "a b c"},
		{says: "a chain", names: "a b c", after: "a>b b>c", want: "c|b|a"},
		{says: "a diamond", names: "a b c d", after: "d>b d>c b>a c>a", want: "a|b c|d"},
		{says: "the earliest wave that will do", names: "a b c x", after: "c>b b>a x>a", want: "a|b x|c"},
		{says: "names outside the set do not count", names: "a b", after: "a>z z>b", want: "a b"},
		{says: "nor does the unit itself", names: "a b", after: "a>a b>a", want: "a|b"},
		{says: "a name twice is one", names: "a a b", after: "b>a b>a", want: "a|b"},
		{says: "a cycle of two", names: "a b c", after: "a>b b>a c>a", cycle: "a b"},
		{says: "the shorter of two cycles", names: "a b c d e", after: "a>b b>c c>a d>e e>d", cycle: "d e"},
		{says: "a cycle in its order", names: "c b a d", after: "a>c c>b b>a d>a", cycle: "a c b"},
		{says: "what leads into a cycle is no member", names: "a b c d", after: "a>b b>c c>d d>c", cycle: "c d"},
	} {
		t.Run(row.says, func(t *testing.T) {
			edges := map[string][]string{}
			for _, edge := range strings.Fields(row.after) {
				from, to, _ := strings.Cut(edge, ">")
				edges[from] = append(edges[from], to)
			}
			waves, err := Order(strings.Fields(row.names), func(name string) []string { return edges[name] })
			if row.cycle != "" {
				var cycle *CycleError
				if !errors.As(err, &cycle) || strings.Join(cycle.Members, " ") != row.cycle {
					t.Fatalf("error %v, want the cycle %q", err, row.cycle)
				}
				if want := cycle.Members[0] + " -> "; !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), cycle.Members[0]) {
					t.Errorf("error %q does not show the cycle", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, wave := range waves {
				got = append(got, strings.Join(wave, " "))
			}
			if strings.Join(got, "|") != row.want {
				t.Errorf("got %q, want %q", strings.Join(got, "|"), row.want)
			}
		})
	}
}

// A long chain is the worst case: one unit in each wave.
func TestOrderOfAThousand(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("u%03d.service", i))
	}
	after := func(name string) []string {
		i := slices.Index(names, name)
		if i == 0 {
			return nil
		}
		return names[i-1 : i]
	}
	waves, err := Order(names, after)
	if err != nil || len(waves) != 1000 {
		t.Fatalf("%d waves, %v", len(waves), err)
	}
}
