package manifest

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// The keys of the repository's YAML files, one list for each kind of mapping:
// for the parser, for the schemas that editors use, and for the manual,
// docs/evenkeel.yaml.5.md, which must describe each.

func fleetKeys() []Key {
	return []Key{
		{Name: "labels", Value: MappingOf(Either(Text(), Texts().with("minItems", 1))),
			About: "Labels that every host has: by name, a pattern for the value or a list of patterns of which one must hold."},
		{Name: "hosts", Value: List(Mapping(entryKeys())), About: "All entries that match a host apply, in this order."},
	}
}

func entryKeys() []Key {
	return append([]Key{
		{Name: "match", Value: Either(hostPattern(), Mapping(matchKeys()).with("minProperties", 1)), Must: true,
			About: "Which hosts the entry is for: a pattern for names, or a mapping with name, labels and facts."},
		{Name: "roles", Value: Texts(), About: "Roles of these hosts, added to those of earlier entries."},
		{Name: "vars", Value: MappingOf(Form{}).OrNothing(), About: "Values for templates; later entries win."},
		{Name: "windows", Value: WindowsForm(), About: "When a new commit may begin on these hosts; the last entry that says so counts."},
	}, termsKeys()...)
}

// termsKeys may stand in an entry of the fleet and in a role.
func termsKeys() []Key {
	return []Key{
		{Name: "probation", Value: Duration(), About: "How long the host must stay healthy at a new commit; at most 1h."},
		{Name: "on_failure", Value: OneOf(string(plan.Revert), string(plan.Hold)), About: "What happens to a commit that fails: the host goes back, or stays and waits for a person. Default: revert."},
		driftKey("correct, and report for a service that somebody stopped or started"),
	}
}

func matchKeys() []Key {
	return []Key{
		{Name: "name", Value: hostPattern(), About: "A pattern for the host's name; * ? [abc] may stand in it."},
		{Name: "labels", Value: MappingOf(Text()), About: "Labels that the host must have, each with exactly this value."},
		{Name: "facts", Value: MappingOf(Either(Text(), Texts().with("minItems", 1))).with("propertyNames", factName()).with("minProperties", 1),
			About: "By fact, such as os.id, a pattern or a list of patterns of which one must hold."},
	}
}

func roleKeys() []Key {
	return append([]Key{
		{Name: "files", Value: MappingOf(Mapping(fileKeys()).OrNothing()).OrNothing(), About: "By path on the host: attributes of files that this role brings."},
		{Name: "directories", Value: MappingOf(Mapping(directoryKeys()).OrNothing()).OrNothing(), About: "By path on the host: directories."},
		{Name: "links", Value: MappingOf(linkTarget()).OrNothing(), About: "By path on the host: what a symbolic link says."},
		{Name: "services", Value: MappingOf(Mapping(serviceKeys()).OrNothing()).with("propertyNames", unitPattern()).OrNothing(),
			About: "The units that shall run, by full name."},
		{Name: "schema", Value: Either(Form{"$ref": "#/definitions/schema"}, Form{"type": "null"}), About: "What the role asks of its values, as a JSON Schema."},
	}, termsKeys()...)
}

func fileKeys() []Key {
	return append(directoryKeys(),
		Key{Name: "validate", Value: command(), About: "A command that must accept the new file before anything is touched; no shell reads it."},
		Key{Name: "feeds", Value: OneOf("none"), About: "none: no service reads the file, and that is meant so."},
	)
}

func directoryKeys() []Key {
	return []Key{
		{Name: "mode", Value: Matching(octal.String()), About: `Octal digits in quotes, such as "0640".`},
		{Name: "owner", Value: accountForm(), About: "A name or a number. Default: root."},
		{Name: "group", Value: accountForm(), About: "A name or a number. Default: root."},
		driftKey("what the role says, then fleet.yaml"),
	}
}

func serviceKeys() []Key {
	return []Key{
		{Name: "after", Value: List(unitPattern()), About: "Units that come first when several are started."},
		{Name: "restart_on", Value: List(Matching("^/")), About: "Paths whose change restarts the unit, besides those read from the unit itself."},
		{Name: "reload_on", Value: List(Matching("^/")), About: "Paths whose change needs a reload only."},
		{Name: "state", Value: OneOf(string(started), string(stopped), string(masked), string(installed)), About: "started, stopped, masked, or installed: then whether it runs is nobody's affair. Default: started."},
		{Name: "enabled", Value: Truth(), About: "Whether the links of the unit's [Install] stand. Default: true where it is started."},
		{Name: "settle", Value: Duration(), About: fmt.Sprintf("How long it must stay up before what comes after it is started. Default: %s.", plan.DefaultSettle)},
		{Name: "deadline", Value: Duration(), About: fmt.Sprintf("How long its checks may take to pass. Default: %s.", plan.DefaultDeadline)},
		driftKey("what the role says, then fleet.yaml, then report for a service that somebody stopped or started"),
		{Name: "checks", Value: List(checkForm()), About: "How its health is known; each check has one kind."},
	}
}

// checkKinds are the kinds of check; a check has exactly one of them.
func checkKinds() []Key {
	return []Key{
		{Name: "http", Value: Matching("^[Hh][Tt][Tt][Pp][Ss]?://"), About: "A URL; an answer with the wanted status and body passes."},
		{Name: "tcp", Value: Matching(":[0-9]+$"), About: "host:port; a connection passes."},
		{Name: "unix", Value: absolutePath(), About: "The path of a socket; a connection passes."},
		{Name: "exec", Value: program(), About: "A program by its absolute path, and its arguments; exit status 0 passes."},
		{Name: "unit", Value: unitPattern(), About: "The name of a unit that must be active."},
	}
}

// checkKeys are all that a check may have, the kinds first.
func checkKeys() []Key {
	return slices.Concat(checkKinds(), timingKeys(), httpKeys(), execKeys())
}

func timingKeys() []Key {
	return []Key{
		{Name: "start_delay", Value: Duration(), About: "From the service's start to the first try. Default: 0s."},
		{Name: "interval", Value: Duration(), About: fmt.Sprintf("Between two tries. Default: %s.", plan.DefaultInterval)},
		{Name: "timeout", Value: Duration(), About: fmt.Sprintf("Of one try. Default: %s.", plan.DefaultTimeout)},
		{Name: "successes", Value: count(), About: fmt.Sprintf("How many tries in a row must pass. Default: %d.", plan.DefaultSuccesses)},
		{Name: "failures", Value: count(), About: fmt.Sprintf("How many tries, of twice as many, must fail once it has passed. Default: %d.", plan.DefaultFailures)},
	}
}

// httpKeys are for checks of that kind only.
func httpKeys() []Key {
	status := Either(Form{"type": "integer", "minimum": 100, "maximum": 599}, Matching(statusWord.String()))
	return []Key{
		{Name: "status", Value: Either(status, List(status).with("minItems", 1)), About: "The status that passes, such as 200 or 2xx, or a list of them. Default: 2xx."},
		{Name: "body", Value: Either(Form{"type": "string", "minLength": 1, "maxLength": maxPattern}, Form{"type": []string{"number", "boolean"}}), About: "A regular expression (RE2) that must match in the answer."},
		{Name: "headers", Value: MappingOf(Text()).with("propertyNames", Matching(headerName.String())).with("maxProperties", maxHeaders), About: "Sent with the request; no place for a password."},
		{Name: "socket", Value: absolutePath(), About: "A unix socket over which the request goes."},
		{Name: "ca_file", Value: absolutePath(), About: "A file on the host with the certificates to trust."},
		{Name: "insecure", Value: Truth(), About: "Take any certificate. Default: false."},
	}
}

// execKeys are for checks of that kind only.
func execKeys() []Key {
	return []Key{{Name: "user", Value: accountForm(), About: "Who runs it. Default: root."}}
}

// Forms of values that more than one key has.

// ChecksForm is a list of checks, which another file may have as well.
func ChecksForm() Form { return List(checkForm()) }

func checkForm() Form {
	var kinds []Form
	for _, k := range checkKinds() {
		kinds = append(kinds, Form{"required": []string{k.Name}})
	}
	return Mapping(checkKeys()).with("oneOf", kinds)
}

func hostPattern() Form {
	return Either(Form{"type": "string", "minLength": 1, "pattern": "^[^/]*$"}, Form{"type": []string{"number", "boolean"}})
}

func factName() Form {
	return Form{"anyOf": []Form{{"enum": plainFacts()}, {"pattern": `^os\.[a-z][a-z0-9_]*$`}, {"pattern": `^addresses\..`}}}
}

func linkTarget() Form {
	return Either(Form{"type": "string", "minLength": 1, "maxLength": 4095}, Form{"type": []string{"number", "boolean"}})
}

func accountForm() Form {
	return Either(Matching(accountName.String()), Form{"type": "integer", "minimum": 0, "maximum": 9_999_999_999}, Truth())
}

// Duration is a length of time with its units.
func Duration() Form {
	return Matching(`^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`)
}

func count() Form { return Form{"type": "integer", "minimum": 1, "maximum": maxCount} }

func absolutePath() Form { return Matching("^/") }

// command is a list of words.
func command() Form { return Texts().with("minItems", 1) }

// program is a list of words, the first of them an absolute path.
func program() Form {
	return Form{"type": "array", "minItems": 1, "items": []Form{Matching("^/")}, "additionalItems": Text()}
}

func unitPattern() Form {
	types := []string{"automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"}
	return Matching(`^[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*\.(`+strings.Join(types, "|")+`)$`).with("maxLength", 255)
}
