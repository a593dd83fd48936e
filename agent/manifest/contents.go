package manifest

import "io/fs"

// Contents gives the bytes that the files at some paths of the host have by the repository,
// by their digest. Of all other files it reads no byte and says nothing, nor of anything
// else that is wrong with the repository: that it is right was seen when the commit came,
// and it is the digests that must be the same. Errors are those of Load.
func Contents(tree fs.FS, facts Facts, opts Options, paths []string) (map[string][]byte, error) {
	r := newRepo(tree, opts)
	r.only = map[string]bool{}
	for _, p := range paths {
		r.only[p] = true
	}
	f := r.readFleet()
	assigned := f.assign(facts)
	roles := r.knownRoles(assigned.roles)
	b := newBuilder(r, facts.Name, roles)
	d := r.data(merged(r.layers(roles, assigned.vars, facts.Name)), facts)
	for _, name := range roles {
		d.role = name
		t := r.renderer(name).forHost(d, &b.work)
		b.files(role{name: name}, t)
		b.units(role{name: name}, t)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return b.t.Content, nil
}
