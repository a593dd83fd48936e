package units

import (
	"fmt"
	"slices"
	"strings"
)

// CycleError is an order that cannot be kept: each member comes after the next
// one, and the last after the first.
type CycleError struct {
	Members []string
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("cannot order units: %s -> %s", strings.Join(e.Members, " -> "), e.Members[0])
}

// Order puts names into waves: every name stands in a later wave than those of
// the set that it comes after, and in the earliest such wave. Names are sorted
// inside a wave. What after gives outside the set, or of the name itself, does
// not count. The error is a *CycleError with a shortest cycle.
func Order(names []string, after func(string) []string) (waves [][]string, err error) {
	edges := map[string][]string{}
	for _, name := range names {
		edges[name] = nil
	}
	for name := range edges {
		for _, earlier := range after(name) {
			if _, inSet := edges[earlier]; inSet && earlier != name {
				edges[name] = append(edges[name], earlier)
			}
		}
	}
	for len(edges) > 0 {
		var wave []string
		for name, earlier := range edges {
			if !slices.ContainsFunc(earlier, func(e string) bool { _, waits := edges[e]; return waits }) {
				wave = append(wave, name)
			}
		}
		if len(wave) == 0 {
			return nil, &CycleError{Members: shortestCycle(edges)}
		}
		for _, name := range wave {
			delete(edges, name)
		}
		slices.Sort(wave)
		waves = append(waves, wave)
	}
	return waves, nil
}

// shortestCycle finds a shortest cycle in a graph that has one, beginning with
// its first member by name.
func shortestCycle(edges map[string][]string) []string {
	var names []string
	for name := range edges {
		names = append(names, name)
	}
	slices.Sort(names)
	var shortest []string
	for _, start := range names {
		cycle := cycleThrough(start, edges)
		if cycle != nil && (shortest == nil || len(cycle) < len(shortest)) {
			shortest = cycle
		}
	}
	return shortest
}

// cycleThrough walks breadth first from start until it comes back.
func cycleThrough(start string, edges map[string][]string) []string {
	from := map[string]string{}
	queue := []string{start}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		next := slices.Sorted(slices.Values(edges[name]))
		for _, earlier := range next {
			if earlier == start {
				return trail(start, name, from)
			}
			_, inGraph := edges[earlier]
			_, seen := from[earlier]
			if inGraph && !seen {
				from[earlier] = name
				queue = append(queue, earlier)
			}
		}
	}
	return nil
}

func trail(start, end string, from map[string]string) []string {
	var back []string
	for name := end; name != start; name = from[name] {
		back = append(back, name)
	}
	back = append(back, start)
	slices.Reverse(back)
	return back
}
