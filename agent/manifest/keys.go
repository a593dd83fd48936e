package manifest

// The keys of the repository's YAML files, one list for each kind of mapping.
// docs/evenkeel.yaml.5.md describes each of them, held by a test.

func fleetKeys() []string { return []string{"hosts"} }
func entryKeys() []string { return []string{"match", "roles", "vars"} }
func matchKeys() []string { return []string{"name", "labels", "facts"} }

func roleKeys() []string      { return []string{"files", "directories", "links", "services", "schema"} }
func fileKeys() []string      { return []string{"mode", "owner", "group", "validate", "feeds"} }
func directoryKeys() []string { return []string{"mode", "owner", "group"} }

func serviceKeys() []string {
	return []string{"after", "restart_on", "reload_on", "enabled", "settle", "deadline", "checks"}
}

// checkKinds are the kinds of check; a check has exactly one of them.
func checkKinds() []string { return []string{"http", "tcp", "exec", "unit"} }

func checkKeys() []string { return append(checkKinds(), "timeout") }
