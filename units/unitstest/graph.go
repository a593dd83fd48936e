package unitstest

import "slices"

// graph is the dependencies of the loaded units, seen from both ends. It is
// immutable.
type graph struct {
	of    map[string]*edges
	units []node // sorted
}

// node is a unit as far as a graph depends on it.
type node struct {
	name string
	def  *definition
}

// edges are those of one unit, including what other units' files say of it.
type edges struct {
	requires, requisite, bindsTo, wants, partOf            []string
	requiredBy, requisiteOf, boundBy, consistsOf, wantedBy []string
	conflicts, conflictedBy, after, before                 []string
	triggers, triggeredBy                                  []string
}

// noEdges is for units that are not in the graph.
var noEdges = &edges{}

// about gives a unit's dependencies.
func (s *Systemd) about(name string) *edges {
	if s.edges == nil {
		s.edges = s.knownGraph()
	}
	if e := s.edges.of[name]; e != nil {
		return e
	}
	return noEdges
}

// knownGraph gives the graph of the loaded units, which clones with the same
// units and the same unit files share.
func (s *Systemd) knownGraph() *graph {
	here := s.library()
	here.mu.Lock()
	known := here.graphs
	here.mu.Unlock()
	for _, g := range known {
		if slices.EqualFunc(g.units, s.loaded, func(n node, u *unit) bool { return n.name == u.name && n.def == u.def }) {
			return g
		}
	}
	g := s.graph()
	for _, u := range s.loaded {
		g.units = append(g.units, node{u.name, u.def})
	}
	here.mu.Lock()
	if len(here.graphs) < maxGraphs {
		here.graphs = append(here.graphs[:len(here.graphs):len(here.graphs)], g)
	}
	here.mu.Unlock()
	return g
}

// maxGraphs bounds how many graphs are looked through for one that fits.
const maxGraphs = 32

func (s *Systemd) graph() *graph {
	g := &graph{of: make(map[string]*edges, len(s.loaded))}
	all := make([]edges, len(s.loaded))
	for i, u := range s.loaded {
		g.of[u.name] = &all[i]
	}
	for _, u := range s.loaded {
		d, e := u.def, g.of[u.name]
		s.connect(g, u.name, d.requires, &e.requires, func(o *edges) *[]string { return &o.requiredBy })
		s.connect(g, u.name, d.requisite, &e.requisite, func(o *edges) *[]string { return &o.requisiteOf })
		s.connect(g, u.name, d.bindsTo, &e.bindsTo, func(o *edges) *[]string { return &o.boundBy })
		s.connect(g, u.name, d.wants, &e.wants, func(o *edges) *[]string { return &o.wantedBy })
		s.connect(g, u.name, d.partOf, &e.partOf, func(o *edges) *[]string { return &o.consistsOf })
		s.connect(g, u.name, d.conflicts, &e.conflicts, func(o *edges) *[]string { return &o.conflictedBy })
		s.connect(g, u.name, d.after, &e.after, func(o *edges) *[]string { return &o.before })
		s.connect(g, u.name, d.before, &e.before, func(o *edges) *[]string { return &o.after })
		s.connect(g, u.name, d.triggers, &e.triggers, func(o *edges) *[]string { return &o.triggeredBy })
		if len(d.wants)+len(d.requires) > 0 && isTarget(u.name) {
			// A target comes after the units that links make it want, too.
			for _, list := range [...][]string{d.wants, d.requires} {
				for _, name := range list {
					if o := s.find(s.ownName(name)); o != nil && !contains(g.of[o.name].after, u.name) {
						insert(&e.after, o.name)
						insert(&g.of[o.name].before, u.name)
					}
				}
			}
		}
	}
	return g
}

// connect enters an edge at both ends, aliases resolved.
func (s *Systemd) connect(g *graph, from string, to []string, here *[]string, there func(*edges) *[]string) {
	for _, name := range to {
		own := s.ownName(name)
		if o := g.of[own]; o != nil && own != from {
			insert(here, own)
			insert(there(o), from)
		}
	}
}

func isTarget(name string) bool {
	const suffix = ".target"
	return len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix
}

func contains(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}

// insert keeps a list sorted and free of doubles.
func insert(list *[]string, name string) {
	i := 0
	for i < len(*list) && (*list)[i] < name {
		i++
	}
	if i < len(*list) && (*list)[i] == name {
		return
	}
	*list = append(*list, "")
	copy((*list)[i+1:], (*list)[i:])
	(*list)[i] = name
}
