package apply

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"evenkeel/units"
)

// Podman's generator makes services of Quadlet files each time systemd reads its unit
// files, and says only in the journal what it cannot make. So it is asked before: by a
// dry run on the host as it is, and by one in the view of the host as it would be.
//
// Seen with podman 5.4:
//
//	quadlet-generator[7]: error loading "/etc/containers/systemd/a.container", file contains line 4: “x” which is not a key-value pair, group, or comment
//	quadlet-generator[7]: converting "a.container": unsupported key 'Foo' in group 'Container' in /etc/containers/systemd/a.container
//	converting "b.container": no Image or Rootfs key specified
//	---c.service---
//	[Unit]
//	SourcePath=/etc/containers/systemd/c.container

const (
	quadletDir = "/etc/containers/systemd/"
	maxMade    = 4 << 20 // bytes of all services and messages of one run
	noMaker    = "podman's generator of services is not on this host: podman brings it since 4.4"
)

var (
	cannotMake     = regexp.MustCompile(`^(?:quadlet-generator\[[0-9]+\]: )?(?i:error )?(?i:loading|converting) ["']([^"']+)["'](?:, ignoring)?[,:]? ?(.+)$`)
	unsupportedKey = regexp.MustCompile(`^unsupported key '([^']+)' in group '([^']+)'`)
	atNumber       = regexp.MustCompile(`\bline ([0-9]+)\b`)
	beginOfService = regexp.MustCompile(`^---(.+)---$`)
)

// made is what one dry run of the generator gave.
type made struct {
	order    order
	late     bool
	missing  bool              // there is no generator
	services map[string]string // name -> text
	faults   []Invalid         // of any file of Quadlet's on the host
}

// generated is what of that the commit is to be judged by.
type generated struct {
	dir    string              // where the services are written that are made of staged files
	source map[string]string   // each of these services -> its Quadlet file
	parts  map[string][]string // Quadlet file -> its drop-ins
	faults []Invalid
}

func (c Candidate) hasQuadlets() bool {
	ours := func(p string) bool { return strings.HasPrefix(p, quadletDir) }
	return slices.ContainsFunc(c.Removed, ours) || slices.ContainsFunc(slices.Collect(maps.Keys(c.Files)), ours)
}

// quadlets are the staged Quadlet files; withParts says whether their drop-ins count.
func (o order) quadlets(withParts bool) []string {
	var list []string
	for _, p := range o.Paths {
		dir := path.Base(path.Dir(p))
		isPart := strings.HasSuffix(dir, ".d") && path.Ext(p) == ".conf"
		if strings.HasPrefix(p, quadletDir) && (units.IsQuadlet(path.Base(p)) || isPart && withParts) {
			list = append(list, p)
		}
	}
	return list
}

// generate runs the generator, when the commit has anything for it.
func (o order) generate(ctx context.Context) made {
	m := made{order: o, services: map[string]string{}}
	if len(o.quadlets(true)) == 0 && !slices.ContainsFunc(o.Removed, func(p string) bool { return strings.HasPrefix(p, quadletDir) }) {
		return m
	}
	program := "/usr/lib/systemd/system-generators/podman-system-generator"
	if _, err := os.Stat(program); err != nil {
		program = "/usr/local" + strings.TrimPrefix(program, "/usr")
	}
	ran := runBounded(ctx, validatorBound, maxMade, []string{program, "--dryrun"})
	m.missing, m.late = ran.notFound, ran.late
	m.read(ran.output)
	return m
}

// read takes the output apart: services with what was said between them.
func (m *made) read(output string) {
	service := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if begin := beginOfService.FindStringSubmatch(line); begin != nil {
			service = begin[1]
		} else if fault := cannotMake.FindStringSubmatch(line); fault != nil {
			m.faults = append(m.faults, quadletFault(fault[1], fault[2]))
		} else if service != "" && !strings.HasPrefix(line, "quadlet-generator[") {
			m.services[service] += line + "\n"
		}
	}
}

// quadletFault finds the line of a fault in a Quadlet file or its drop-ins, which the
// generator does not tell apart.
func quadletFault(name, message string) Invalid {
	fault := Invalid{Path: name, Message: printable("podman's generator refuses it: " + message)}
	if !path.IsAbs(name) {
		fault.Path = quadletDir + name
	}
	if m := unsupportedKey.FindStringSubmatch(message); m != nil {
		fault.Message = fmt.Sprintf("podman's generator does not know the key %s= in [%s]", m[1], m[2])
		if p, line := assigned(fault.Path, quadletParts(fault.Path), m[2], m[1]); p != "" {
			fault.Path, fault.Line = p, line
		}
	} else if m := atNumber.FindStringSubmatch(message); m != nil && path.IsAbs(name) {
		fault.Line, _ = strconv.Atoi(m[1])
	}
	return fault
}

// quadletParts are the drop-ins of a Quadlet file.
func quadletParts(file string) []string {
	var parts []string
	for _, dir := range units.DropInDirs(path.Base(file)) {
		dir = path.Join(path.Dir(file), dir)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if path.Ext(e.Name()) == ".conf" {
				parts = append(parts, path.Join(dir, e.Name()))
			}
		}
	}
	return parts
}

// assigned finds where a key is assigned: the last place counts, as for systemd.
func assigned(file string, parts []string, section, key string) (found string, line int) {
	for _, p := range append([]string{file}, parts...) {
		text, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		parsed, _ := units.ParseFile(p, text) // what can be read of it is enough
		for _, a := range parsed.Assignments {
			if a.Section == section && a.Key == key {
				found, line = p, a.Line
			}
		}
	}
	return found, line
}

// since gives what the commit is to be judged by: what is said of its files, and what is
// said of others and was not said of the host as it is. The services that are made of its
// files are written below scratch, for systemd-analyze.
func (m made) since(was made, scratch string) (generated, error) {
	g := generated{dir: path.Join(scratch, "generated"), source: map[string]string{}, parts: map[string][]string{}}
	staged := m.order.quadlets(false)
	switch {
	case m.missing:
		for _, p := range staged {
			g.faults = append(g.faults, Invalid{Path: p, Message: noMaker, Missing: true})
		}
		return g, nil
	case m.late:
		return g, fmt.Errorf("podman's generator took longer than %v", validatorBound)
	}
	for _, fault := range m.faults {
		if slices.Contains(m.order.quadlets(true), fault.Path) || !slices.Contains(was.faults, fault) {
			g.faults = append(g.faults, fault)
		}
	}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return g, err
	}
	for name, text := range m.services {
		source := sourceOf(name, text)
		if text != was.services[name] {
			g.faults = append(g.faults, badName(name, source)...)
		}
		if parts := quadletParts(source); slices.Contains(staged, source) || slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(m.order.Paths, p) }) {
			g.source[name], g.parts[source] = source, parts
			if err := os.WriteFile(path.Join(g.dir, path.Base(name)), []byte(text), 0o600); err != nil {
				return g, err
			}
		}
	}
	g.notMade(staged)
	return g, nil
}

// sourceOf is the Quadlet file from which a service is made.
func sourceOf(name, text string) string {
	parsed, _ := units.ParseFile(name, []byte(text))
	return (&units.Definition{Name: name, Files: []*units.File{parsed}}).Value("Unit", "SourcePath")
}

// badName judges the name that a service got. Podman reads names and directories in more
// ways than what judges the repository does, and what the generator makes comes before
// units of packages: evenkeel's own is one.
func badName(name, source string) []Invalid {
	switch err := units.Valid(name); {
	case err != nil:
		return []Invalid{{Path: source, Message: fmt.Sprintf("podman's generator makes a service without a name of it: %v", err)}}
	case strings.HasPrefix(name, "evenkeel"):
		return []Invalid{{Path: source, Message: fmt.Sprintf("podman's generator makes %q of it, in the place of evenkeel's own", name)}}
	}
	return nil
}

// notMade adds the files of which the generator makes nothing, without a word: it passes
// over kinds that it does not know.
func (g *generated) notMade(staged []string) {
	if len(g.faults) > 0 {
		return // one file that cannot be read keeps it from making anything
	}
	makes := slices.Collect(maps.Values(g.source))
	for _, p := range staged {
		if !slices.Contains(makes, p) {
			g.faults = append(g.faults, Invalid{Path: p, Message: fmt.Sprintf("podman's generator makes no service of it: the podman of this host may be too old for %s files", path.Ext(p))})
		}
	}
}

// services are those that systemd-analyze shall look at, sorted.
func (g generated) services() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(g.source)) {
		if units.Valid(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// environment lets systemd find the services below its own directory, as if the
// generator had put them there.
func (g generated) environment() []string {
	if len(g.source) == 0 {
		return nil
	}
	return []string{"SYSTEMD_UNIT_PATH=/etc/systemd/system:" + g.dir + ":"}
}

// atSource puts faults of a service that is made at the lines of its Quadlet file and
// drop-ins, which the generator hands on as they are.
func (g generated) atSource(faults []Invalid) []Invalid {
	for i, f := range faults {
		if g.dir == "" || path.Dir(f.Path) != g.dir {
			continue
		}
		faults[i].Unit = path.Base(f.Path)
		source := g.source[faults[i].Unit]
		text := lineOf(f.Path, f.Line)
		faults[i].Path, faults[i].Line = source, 0
		for _, p := range append([]string{source}, g.parts[source]...) {
			if line := lineLike(p, text); line > 0 {
				faults[i].Path, faults[i].Line = p, line
			}
		}
	}
	return faults
}

// lineOf gives a line of a file, "" when it has none of that number.
func lineOf(file string, number int) string {
	text, _ := os.ReadFile(file)
	lines := strings.Split(string(text), "\n")
	if number < 1 || number > len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[number-1])
}

// lineLike finds a line of a file by its text, 0 when it is not there.
func lineLike(file, text string) int {
	content, _ := os.ReadFile(file)
	for i, line := range strings.Split(string(content), "\n") {
		if text != "" && strings.TrimSpace(line) == text {
			return i + 1
		}
	}
	return 0
}
