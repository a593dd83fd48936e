package agent

var mutants = []mutant{
	// The disk protocol.
	{
		name: "files are not synced",
		file: "agent/apply/applytest/dir.go",
		old:  "if !f.opt.NoFileSync {", new: "if false {",
		by: sweeping,
	},
	{
		name: "directories are not synced after the stage",
		file: "agent/apply/stage.go",
		old:  "if err := open[name].Sync(); err != nil {", new: "if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "directories are not synced after the switch",
		file: "agent/apply/moves.go",
		old:  "if err := open[name].Sync(); err != nil {", new: "if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "the state directory is not synced after a write",
		file: "agent/ledger.go",
		old:  "	return dir.Sync()\n", new: "	return nil\n",
		by: sweeping,
	},
	{
		name: "the state directory is not synced after a change of phase",
		file: "agent/attempt.go",
		old:  "	a.phase, a.tries = phase, tries\n	if err := dir.Sync(); err != nil {", new: "	a.phase, a.tries = phase, tries\n	if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "the start does not sync what it builds on",
		file: "agent/recover.go",
		old:  "if err := h.State.Sync(); err != nil {", new: "if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "no note before the stage",
		file: "agent/deploy.go",
		old:  "if err := a.note(h.State); err != nil {", new: "if a.phase, a.tries = PhaseStage, 1; a.phase == \"\" {",
		by: sweeping,
	},
	{
		name: "no intent",
		file: "agent/attempt.go",
		old:  "	if err := a.write(dir); err != nil {\n		a.phase = PhaseStage\n		return err\n	}", new: "",
		by: sweeping,
	},
	{
		name: "the intent comes before the stage",
		file: "agent/deploy.go",
		old:  "	err = apply.Stage(h.Disk, a.Moves, content)\n	if err == nil {\n		err = a.intend(h.State)\n	}", new: "	err = a.intend(h.State)\n	if err == nil {\n		err = apply.Stage(h.Disk, a.Moves, content)\n	}",
		by: sweeping,
	},
	{
		name: "the note goes before the intent is there",
		file: "agent/attempt.go",
		old:  "	a.phase, a.tries = PhaseApply, 1\n", new: "	a.phase, a.tries = PhaseApply, 1\n	_ = dir.Remove(old)\n",
		by: sweeping,
	},
	{
		name: "old files go before the verdict",
		file: "agent/deploy.go",
		old:  "	return a.move(h.State, PhaseWatch)\n", new: "	_ = apply.Finish(h.Disk, a.Moves)\n	return a.move(h.State, PhaseWatch)\n",
		by: sweeping,
	},
	{
		name: "the old file is not known by its inode",
		file: "agent/apply/settle.go",
		old:  "func (m Move) isBefore(id ID) bool { return !id.none() && id.Inode == m.BeforeID.Inode }", new: "func (m Move) isBefore(id ID) bool { return !id.none() }",
		by: sweeping,
	},
	{
		name: "the new file is not known by its inode",
		file: "agent/apply/settle.go",
		old:  "func (m Move) isAfter(id ID) bool  { return !id.none() && id == m.AfterID }", new: "func (m Move) isAfter(id ID) bool  { return !id.none() }",
		by: sweeping,
	},
	{
		name: "files of overtaken attempts are not known",
		file: "agent/apply/stage.go",
		old:  "		m.Old = append(slices.Clone(m.Old), old.AfterID)\n", new: "",
		by: sweeping,
	},
	{
		name: "nothing is cleaned up after a stage that was cut short",
		file: "agent/recover.go",
		old:  "if err := apply.Unstage(h.Disk, a.Moves); err != nil {", new: "if err := error(nil); err != nil {",
		by: sweeping,
	},

	// The revert.
	{
		name: "failed units are not reset",
		file: "agent/revert.go",
		old:  "if err := h.Manager.ResetFailed(ctx, name); err != nil {", new: "if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "a revert has no suspects",
		file: "agent/revert.go",
		old:  "p := plan.Diff(n.state, a.before(n.state.Paths), a.Suspect)", new: "p := plan.Diff(n.state, a.before(n.state.Paths), nil)",
		by: sweeping,
	},
	{
		name: "suspects are only the units of the plan",
		file: "agent/suspect.go",
		old:  "		for _, next := range h.reached(name, to, n) {", new: "		for _, next := range []string(nil) {",
		by: sweeping,
	},
	{
		name: "a revert does not reload systemd",
		file: "agent/revert.go",
		old:  "	if err := h.Manager.DaemonReload(ctx); err != nil {", new: "	if err := error(nil); err != nil {",
		by: sweeping,
	},
	{
		name: "the rejection is written after the revert",
		file: "agent/revert.go",
		old:  "	if verdict == Revert {\n		phase = PhaseRevert\n	}\n", new: "	if verdict == Revert {\n		h.Ledger.Reject(Rejection{Commit: h.Open.Commit})\n	}\n",
		by: sweeping,
	},
	{
		name: "a revert that is not proved is believed",
		file: "agent/revert.go",
		old:  "		err = h.verify(ctx, a)\n", new: "",
		by: sweeping,
	},
	{
		name: "units of an overtaken attempt are not kept up",
		file: "agent/deploy.go",
		old:  "	h.keepUp(w.to)\n", new: "",
		by: sweeping,
	},

	// The start.
	{
		name: "an early boot does nothing",
		file: "agent/recover.go",
		old:  "	return true, apply.Backward(h.Disk, open.Moves)\n", new: "	return false, nil\n",
		by: sweeping,
	},
	{
		name: "an early boot does not reload systemd",
		file: "agent/recover.go",
		old:  "	return true, apply.Backward(h.Disk, open.Moves)\n", new: "	return false, apply.Backward(h.Disk, open.Moves)\n",
		by: sweeping,
	},
	{
		name: "an interrupted apply goes on as a watch",
		file: "agent/recover.go",
		old:  "	case PhaseWatch:\n		if h.Boot", new: "	case PhaseWatch, PhaseApply:\n		if h.Boot",
		by: sweeping,
	},
	{
		name: "a watch goes on in another boot",
		file: "agent/recover.go",
		old:  "if h.Boot == a.Boot && a.tries", new: "if a.tries",
		by: sweeping,
	},
	{
		name: "a watch goes on whatever stands on the host",
		file: "agent/recover.go",
		old:  "a.tries < maxTries && h.asRecorded(ctx, a)", new: "a.tries < maxTries",
		by: sweeping,
	},
	{
		name: "the verdict keep is not recorded first",
		file: "agent/deploy.go",
		old:  "	if err := h.Open.move(h.State, PhaseKeep); err != nil {", new: "	if err := error(nil); err != nil {",
		by: sweeping,
	},

	// The real disk.
	{
		name: "paths follow links",
		file: "agent/apply/disk.go",
		old:  "flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC", new: "flags|unix.O_DIRECTORY|unix.O_CLOEXEC",
		by: "./agent/apply ^TestDisk",
	},
	{
		name: "a rename takes the place of what is there",
		file: "agent/apply/disk_change.go",
		old:  "to, unix.RENAME_NOREPLACE)", new: "to, 0)",
		by: "./agent/apply ^TestDisk",
	},
	{
		name: "a new file takes the place of what is there",
		file: "agent/apply/disk_change.go",
		old:  "unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW", new: "unix.O_CREAT",
		by: "./agent/apply ^TestDisk",
	},
}
