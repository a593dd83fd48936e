//go:build mutants

package agent

// noteMayBeGone lets mutants of the note die of what they lack, not of an error.
var noteMayBeGone = edit{"agent/attempt.go", "if err := dir.Remove(old); err != nil {", "if err := dir.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {"}

// mutants are the program's safeguards, each missing once.
var mutants = []mutant{
	// The disk protocol.
	{
		name:  "files are not synced",
		by:    sweeping,
		edits: []edit{{"agent/apply/applytest/dir.go", "if !f.opt.NoFileSync {", "if false {"}},
	},
	{
		name:  "directories are not synced after the stage",
		by:    sweeping,
		spare: "a name that is lost before the first switch leaves the old file where it is, and recovery only goes back",
		edits: []edit{{"agent/apply/stage.go", "if err := open[name].Sync(); err != nil {", "if err := error(nil); err != nil {"}},
	},
	{
		name:  "directories are not synced after the switch",
		by:    sweeping,
		edits: []edit{{"agent/apply/moves.go", "if err := open[name].Sync(); err != nil {", "if err := error(nil); err != nil {"}},
	},
	{
		name:  "the state directory is not synced after a write",
		by:    sweeping,
		edits: []edit{{"agent/ledger.go", "	return dir.Sync()\n", "	return nil\n"}},
	},
	{
		name:  "the state directory is not synced after a change of phase",
		by:    sweeping,
		edits: []edit{{"agent/attempt.go", "	a.phase, a.tries = phase, tries\n	if err := dir.Sync(); err != nil {", "	a.phase, a.tries = phase, tries\n	if err := error(nil); err != nil {"}},
	},
	{
		name:  "the start does not sync what it builds on",
		by:    sweeping,
		edits: []edit{{"agent/recover.go", "	if err := h.State.Sync(); err != nil {\n		return fmt.Errorf(\"cannot sync the state directory: %w\", err)\n	}\n	var err error\n", "	var err error\n"}},
	},
	{
		name: "no note before the stage",
		by:   sweeping,
		edits: []edit{
			{"agent/deploy.go", "	err = a.note(h.State)\n", "	a.phase, a.tries = PhaseStage, 1\n"},
			noteMayBeGone,
		},
	},
	{
		name: "no intent, only a record of each later phase",
		by:   sweeping,
		edits: []edit{
			{"agent/attempt.go", "	a.phase, a.tries = PhaseApply, 1\n	if err := a.write(dir); err != nil {\n		return err\n	}\n", "	a.phase, a.tries = PhaseApply, 1\n	if a.phase == PhaseApply {\n		return nil\n	}\n"},
			{"agent/attempt.go", "	if err := dir.Rename(a.file(), attemptName(a.Number, phase, tries)); err != nil {", "	old := a.file()\n	a.phase, a.tries = phase, tries\n	if err := a.write(dir); err != nil {"},
			{"agent/attempt.go", "	if err := dir.Sync(); err != nil {\n		return fmt.Errorf(\"cannot record phase", "	_ = dir.Remove(old)\n	if err := dir.Sync(); err != nil {\n		return fmt.Errorf(\"cannot record phase"},
			{"agent/attempt.go", "	if err := dir.Sync(); err != nil {\n		return fmt.Errorf(\"cannot remove the record", "	_ = dir.Remove(attemptName(a.Number, PhaseStage, 1))\n	if err := dir.Sync(); err != nil {\n		return fmt.Errorf(\"cannot remove the record"},
		},
	},
	{
		name:  "the intent comes before the stage",
		by:    sweeping,
		edits: []edit{{"agent/deploy.go", "	if err == nil {\n		err = apply.Stage(h.Disk, a.Moves, content)\n	}\n	if err == nil {\n		err = h.commence(a)\n	}\n", "	if err == nil {\n		err = h.commence(a)\n	}\n	if err == nil {\n		err = apply.Stage(h.Disk, a.Moves, content)\n	}\n"}},
	},
	{
		name: "the note goes before the intent is there",
		by:   sweeping,
		edits: []edit{
			{"agent/attempt.go", "	a.phase, a.tries = PhaseApply, 1\n", "	a.phase, a.tries = PhaseApply, 1\n	_ = dir.Remove(old)\n"},
			noteMayBeGone,
		},
	},
	{
		name:  "old files go before the verdict",
		by:    sweeping,
		edits: []edit{{"agent/deploy.go", "	return a.move(h.State, PhaseWatch)\n", "	_ = apply.Finish(h.Disk, a.Moves)\n	return a.move(h.State, PhaseWatch)\n"}},
	},
	{
		name:  "the old file is not known by its inode",
		by:    sweeping,
		edits: []edit{{"agent/apply/settle.go", "func (m Move) isBefore(id ID) bool { return !id.none() && id.Inode == m.BeforeID.Inode }", "func (m Move) isBefore(id ID) bool { return !id.none() }"}},
	},
	{
		name:  "the new file is not known by its inode",
		by:    sweeping,
		edits: []edit{{"agent/apply/settle.go", "func (m Move) isAfter(id ID) bool  { return !id.none() && id == m.AfterID }", "func (m Move) isAfter(id ID) bool  { return !id.none() }"}},
	},
	{
		name:  "files of overtaken attempts are not known",
		by:    sweeping,
		edits: []edit{{"agent/apply/stage.go", "		m.Old = append(slices.Clone(m.Old), old.AfterID)\n", ""}},
	},
	{
		name:  "nothing is cleaned up after a stage that was cut short",
		by:    sweeping,
		edits: []edit{{"agent/recover.go", "if err := apply.Unstage(h.Disk, a.Moves); err != nil {", "if err := error(nil); err != nil {"}},
	},

	// The revert.
	{
		name:  "failed units are not reset",
		by:    "./agent ^TestRevertGetsPastTheStartLimit$",
		edits: []edit{{"agent/revert.go", "if err := h.Manager.ResetFailed(ctx, name); err != nil {", "if err := error(nil); err != nil {"}},
	},
	{
		name:  "a revert has no suspects",
		by:    sweeping,
		edits: []edit{{"agent/revert.go", "p := plan.Diff(n.state, a.before(n.state.Paths, left), a.Suspect)", "p := plan.Diff(n.state, a.before(n.state.Paths, left), nil)"}},
	},
	{
		name:  "suspects are only the units of the plan",
		by:    sweeping,
		edits: []edit{{"agent/suspect.go", "		for _, next := range h.reached(name, to, n) {", "		for _, next := range []string(nil) {"}},
	},
	{
		name:  "a revert does not reload systemd",
		by:    sweeping,
		edits: []edit{{"agent/revert.go", "	if err := h.Manager.DaemonReload(ctx); err != nil {\n		return errors.Join(", "	if err := error(nil); err != nil {\n		return errors.Join("}},
	},
	{
		name:  "the rejection is written after the revert",
		by:    sweeping,
		edits: []edit{{"agent/revert.go", "	if verdict == Revert {\n		phase = PhaseRevert\n	}\n", "	if verdict == Revert {\n		h.Ledger.Reject(Rejection{Commit: h.Open.Commit})\n	}\n"}},
	},
	{
		name:  "a revert that is not proved is believed",
		by:    "./agent ^TestRevertThatDoesNotHoldIsSaid$",
		edits: []edit{{"agent/revert.go", "		err = h.verify(ctx, a)\n", ""}},
	},
	{
		name:  "units of an overtaken attempt are not kept up",
		by:    "./agent ^TestUnitThatAnOvertakenCommitTookDownComesBack$",
		edits: []edit{{"agent/deploy.go", "	h.keepUp(w.to)\n", ""}},
	},

	// The start.
	{
		name:  "an early boot does nothing",
		by:    sweeping,
		edits: []edit{{"agent/recover.go", "	return true, apply.Backward(h.Disk, open.Moves)\n", "	return false, nil\n"}},
	},
	{
		name:  "an early boot does not reload systemd",
		by:    sweeping,
		edits: []edit{{"agent/recover.go", "	return true, apply.Backward(h.Disk, open.Moves)\n", "	return false, apply.Backward(h.Disk, open.Moves)\n"}},
	},
	{
		name: "an interrupted apply goes on as a watch",
		by:   sweeping,
		edits: []edit{
			{"agent/recover.go", "	case PhaseWatch:\n		if a.tries", "	case PhaseWatch, PhaseApply:\n		if a.tries"},
			{"agent/recover.go", "	case PhaseApply:\n		_, err = h.judge(ctx, h.interrupted(\"interrupted while it was applied\"))\n", ""},
		},
	},
	{
		name:  "a watch goes on in another boot",
		by:    "./agent ^TestRebootInTheWatchIsUndone$",
		edits: []edit{{"agent/recover.go", "	return h.Boot == a.Boot && h.asRecorded(ctx, a)\n", "	return h.asRecorded(ctx, a)\n"}},
	},
	{
		name:  "a watch goes on whatever stands on the host",
		by:    "./agent ^TestCrashOfAnUnmanagedUnitWhileTheDaemonIsDown$",
		edits: []edit{{"agent/recover.go", "	return h.Boot == a.Boot && h.asRecorded(ctx, a)\n", "	return h.Boot == a.Boot\n"}},
	},
	{
		name:  "the verdict keep is not recorded first",
		by:    sweeping,
		edits: []edit{{"agent/keep.go", "	if err := h.Open.move(h.State, PhaseKeep); err != nil {", "	if err := error(nil); err != nil {"}},
	},

	{
		name:  "tries are not counted",
		by:    "./agent ^TestInterruptedCommitIsTriedThreeTimes$",
		edits: []edit{{"agent/deploy.go", "	h.countTry(a.tryKey())\n", ""}},
	},
	{
		name:  "directories of overtaken attempts are taken for those of others",
		by:    "./agent ^TestDirectoriesOfOvertakenCommitsGo$",
		edits: []edit{{"agent/wanted.go", " && !h.isLeftover(p, at) {", " {"}},
	},
	{
		name:  "runs of what was down before are kept",
		by:    "./agent ^TestOneshotOfATakenBackCommitRunsForTheNext$",
		edits: []edit{{"agent/revert.go", "			delete(l.Runs, name) // else", "			_ = name // else"}},
	},

	{
		name:  "links that were there before are not looked at",
		by:    "./agent ^TestOvertakenCommitListedAVendorsUnit$",
		edits: []edit{{"agent/host.go", "		for p := range h.Open.Owned {\n			add(p)\n		}\n", ""}},
	},
	{
		name:  "what a unit read under an overtaken commit is forgotten",
		by:    "./agent ^TestServiceThatDiedUnderAnOvertakenCommitReadsItsOldConfig$",
		edits: []edit{{"agent/host.go", "maps.Keys(h.Open.After.Units[name].Inputs)", "maps.Keys(map[string]string{})"}},
	},
	{
		name:  "a damaged ledger is an empty one",
		by:    "./agent ^TestDamagedRecordsStopTheDaemon$",
		edits: []edit{{"agent/ledger.go", "	if err := decode.read(data, l); err != nil {", "	if err := decode.read(data, l); err != nil {\n		return &Ledger{Version: ledgerVersion}, nil"}},
	},
	{
		name:  "a damaged attempt is none",
		by:    "./agent ^TestDamagedRecordsStopTheDaemon$",
		edits: []edit{{"agent/attempt.go", "		if err := decode.read(data, a); err != nil || a.Number != number {", "		if err := decode.read(data, a); err != nil || a.Number != number {\n			continue"}},
	},

	// Calls that fail.
	{
		name:  "an intent that failed is believed to be gone",
		by:    "./agent ^TestIntentThatCouldNotBeSyncedIsForgotten$",
		edits: []edit{{"agent/attempt.go", "	if err := dir.Remove(a.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {\n		return fmt.Errorf(\"cannot take back", "	if err := error(nil); err != nil {\n		return fmt.Errorf(\"cannot take back"}},
	},
	{
		name:  "a phase that is seen is believed to be lasting",
		by:    "./agent ^TestOldFilesStayUntilTheVerdictIsLasting$",
		edits: []edit{{"agent/recover.go", "	if err := h.State.Sync(); err != nil {\n		return false, fmt", "	if err := error(nil); err != nil {\n		return false, fmt"}},
	},
	{
		name:  "what has no file is not stopped",
		by:    "./agent ^TestRevertStopsWhatRunsWithoutAFile$",
		edits: []edit{{"agent/apply/jobs.go", "if err == nil && d.Active == \"inactive\" {", "if err == nil && (d.Load == \"not-found\" || d.Active == \"inactive\") {"}},
	},
	{
		name:  "attempts begin before older ones are cleaned up",
		by:    "./agent ^TestSweepFaults$",
		edits: []edit{{"agent/deploy.go", "	return h.clean()\n", "	return nil\n"}},
	},
	{
		name:  "a hold forgets the rejection",
		by:    "./agent ^TestHoldWaitsForTheRejectionToBeWritten$",
		edits: []edit{{"agent/revert.go", "err != nil && h.Open.phase == PhaseRevert {", "err != nil && false {"}},
	},
	{
		name: "a stage that failed is a try",
		by:   "./agent ^TestStageThatFailsIsNoTry$",
		edits: []edit{
			{"agent/deploy.go", "	h.countTry(a.tryKey())\n", ""},
			{"agent/deploy.go", "	err = a.note(h.State)\n", "	h.countTry(a.tryKey())\n	h.trySave()\n	err = a.note(h.State)\n"},
		},
	},
	{
		name:  "an attempt begins although the ledger cannot be written",
		by:    "./agent ^TestLedgerThatCannotBeWrittenStartsNothing$",
		edits: []edit{{"agent/deploy.go", "	if err := h.Ledger.save(h.State); err != nil {\n		return err\n	}\n	return a.intend", "	_ = h.Ledger.save(h.State)\n	return a.intend"}},
	},
	{
		name:  "a rejection is only in the ledger",
		by:    "./agent ^TestLedgerThatCannotBeWrittenStartsNothing$",
		edits: []edit{{"agent/revert.go", "	if !h.trySave() {\n		h.leftover = append(h.leftover, a) // until the ledger says the same\n		return\n	}\n", "	h.trySave()\n"}},
	},

	// Somebody else.
	{
		name:  "what an exchange brought out is not looked at",
		by:    "./agent/apply ^TestForeignWritesAreNeverLost$",
		edits: []edit{{"agent/apply/moves.go", "	if info, err := dir.Stat(sibling); err == nil && identity(info) == looked {\n", "	if true {\n"}},
	},
	{
		name:  "what was moved aside is not looked at",
		by:    "./agent/apply ^TestForeignWritesAreNeverLost$",
		edits: []edit{{"agent/apply/moves.go", "	if info, err := dir.Stat(shelved(name)); err == nil && identity(info) == looked {\n", "	if true {\n"}},
	},
	{
		name:  "foreign files are not moved aside",
		by:    "./agent/apply ^TestForeignWritesAreNeverLost$",
		edits: []edit{{"agent/apply/moves.go", "		return setAside(dir, name)\n", "		return dir.Remove(name)\n"}},
	},
	{
		name:  "what is moved aside takes the place of what was moved aside before",
		by:    "./agent/apply ^TestSecondEditThatIsMovedAsideLeavesTheFirst$",
		edits: []edit{{"agent/apply/aside.go", "dir.Rename(name, foreign(name, n))", "dir.Replace(name, foreign(name, n))"}},
	},
	{
		name:  "tmpfiles.d touches evenkeel's own",
		by:    "./agent/manifest ^TestGolden",
		edits: []edit{{"agent/manifest/load.go", "	b.tmpfiles()\n", ""}},
	},

	// The children.
	{
		name:  "the child that renders has the network",
		by:    "./agent ^TestOnlyChildrenThatFetchReachTheNetwork$",
		edits: []edit{{"agent/child.go", "	if k.offline {\n		return goOffline()\n", "	if false {\n		return goOffline()\n"}},
	},
	{
		name:  "rings are not refused",
		by:    "./agent ^TestOnlyChildrenThatFetchReachTheNetwork$",
		edits: []edit{{"agent/child_offline.go", "	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,\n", ""}},
	},

	// Hands off.
	{
		name:  "a pause is not heeded",
		by:    "./agent ^TestNothingIsTouchedWhileACommitIsKeptBack$",
		edits: []edit{{"agent/later.go", "		return notYet{p.String(), p.Until, true}\n", "		_ = p\n"}},
	},
	{
		name:  "a pause that cannot be read counts for nothing",
		by:    "./agent ^TestPauseThatCannotBeReadIsInForce$",
		edits: []edit{{"agent/pause.go", "		return &Pause{Reason: fmt.Sprintf(\"the file %s of the state directory cannot be read: %v\", file, err)}\n", "		return nil\n"}},
	},
	{
		name:  "a pause keeps back what is open",
		by:    "./agent ^TestPauseDoesNotKeepBackWhatIsOpen$",
		edits: []edit{{"agent/later.go", "open.phase == PhaseStay && open.Commit == t.Commit", "false"}},
	},
	{
		name:  "a person's word for now counts twice",
		by:    "./agent ^TestSyncNowLetsOneCommitThrough$",
		edits: []edit{{"agent/later.go", "	h.Ledger.Override = nil\n	h.trySave()\n", "	h.trySave()\n"}},
	},
	{
		name: "the lock of a package manager is not looked at",
		by:   "./agent ^TestNothingIsTouchedWhileACommitIsKeptBack$",
		edits: []edit{
			{"agent/gate.go", "	if reason := d.locked(p); reason != \"\" {\n", "	if reason := \"\"; reason != \"\" {\n"},
			{"agent/cycle.go", "	if reason := d.locked(&d.patience); reason != \"\" {\n", "	if reason := \"\"; reason != \"\" {\n"},
		},
	},

	// Drift.
	{
		name:  "a correction that fails rejects its commit",
		by:    "./agent ^TestCorrectionThatFailsIsNotRepeated$",
		edits: []edit{{"agent/correct.go", "	if a.isCorrection() {\n		l.leaveAlone(", "	if false {\n		l.leaveAlone("}},
	},
	{
		name:  "a correction makes what stays the good state",
		by:    "./agent ^TestDriftThatIsLeftAloneStaysDrift$",
		edits: []edit{{"agent/keep.go", "	if a.isCorrection() {\n", "	if false {\n"}},
	},
	{
		name:  "corrections are not counted",
		by:    "./agent ^TestFightIsGivenUp$",
		edits: []edit{{"agent/correct.go", "		if len(c.Times) >= maxCorrections {", "		if false {"}},
	},
	{
		name:  "a correction that fails takes its services down again",
		by:    "./agent ^TestFailedCorrectionDoesNotStopTheServiceThatCrashed$",
		edits: []edit{{"agent/left.go", "return a.isCorrection() &&", "return false && a.isCorrection() &&"}},
	},
	{
		name:  "a service is not started that an interrupted correction was about to start",
		by:    "./agent ^TestCorrectionOfACrashedServiceSurvivesCrashes$",
		edits: []edit{{"agent/left.go", "	if a.phase != PhaseUndo {", "	if true {"}},
	},
	{
		name:  "failures are cleared before the turn of a service comes",
		by:    "./agent ^TestServiceWhoseTurnNeverCameStaysFailed$",
		edits: []edit{{"agent/forget.go", "			if !left(step.Unit) {", "			if !left(step.Unit) || true {"}},
	},
	{
		name:  "a correction that failed is tried again",
		by:    "./agent ^TestCorrectionThatFailsIsNotRepeated$",
		edits: []edit{{"agent/drift.go", "	return h.gaveUp(x.Name)\n}", "	return \"\"\n}"}},
	},
	{
		name:  "a file with other names is replaced",
		by:    "./agent ^TestDriftThatIsLeftAlone$",
		edits: []edit{{"agent/drift.go", "	case info.Links > 1:", "	case false:"}},
	},
	{
		name:  "what people wrote is not kept",
		by:    "./agent ^TestWhatPeopleWroteIsKept$",
		edits: []edit{{"agent/correct.go", "	if err = h.keepDrifted(found); err == nil {", "	if err == nil {"}},
	},
	{
		name:  "a secret that drifted is kept",
		by:    "./agent ^TestWhatPeopleWroteIsKept$",
		edits: []edit{{"agent/kept.go", "	return !x.Secret && (from", "	return (from"}},
	},
	{
		name:  "what a commit takes the place of is not kept",
		by:    "./agent ^TestCommitThatComesDuringAPauseDoesNotLoseWhatAPersonWrote$",
		edits: []edit{{"agent/deploy.go", "	if err := h.keepReplaced(a, n); err != nil {", "	if err := error(nil); err != nil {"}},
	},
	{
		name:  "a correction keeps more than there is room for",
		by:    "./agent ^TestEditsOfManyFilesAtOnceAreAllKept$",
		edits: []edit{{"agent/correct.go", "	spared, counted := h.tooMuch(found), ", "	spared, counted := []string(nil), "}},
	},
	{
		name:  "a frozen host is corrected",
		by:    "./agent ^TestFrozenHostIsLeftAsItIs$",
		edits: []edit{{"agent/pause.go", "	if p := h.freeze(); p != nil {\n		return", "	if p := h.freeze(); false {\n		return"}},
	},
	{
		name:  "a commit brings back what drifted on a frozen host",
		by:    "./agent ^TestCommitLeavesAloneWhatIsFrozen$",
		edits: []edit{{"agent/wanted.go", "	h.leaveDrift(&w, n)\n", ""}},
	},
	{
		name:  "what a commit leaves alone is the good state",
		by:    "./agent ^TestCommitLeavesAloneWhatIsFrozen$",
		edits: []edit{{"agent/keep.go", "goodStateOf(a.asked())", "goodStateOf(a.After)"}},
	},
	{
		name:  "what is started on a frozen host counts as having read what is right",
		by:    "./agent ^TestServiceThatReadWhatIsFrozenIsRestartedAfterwards$",
		edits: []edit{{"agent/leave.go", "			if readsAnew(step, w.to.Units[step.Unit], p, n) {", "			if false {"}},
	},
	{
		name:  "corrections go past a package manager",
		by:    "./agent ^TestCorrectionNeverGoesPastAPackageManager$",
		edits: []edit{{"agent/correct_daemon.go", "	if held := d.locks.look(d.host.Now()); held != nil {\n		return held.String()\n	}\n", ""}},
	},
	{
		name:  "a correction that cannot begin is tried as often as before",
		by:    "./agent ^TestCorrectionOnAFullDiskIsTriedLessAndLess$",
		edits: []edit{{"agent/hitch.go", "		x.wait = min(2*x.wait, hitchMost)\n", "		x.wait = hitchFirst\n"}},
	},
	{
		name:  "a commit takes foreign drop-ins for old ones",
		by:    "./agent ^TestDropInByHandIsToldOfAfterTheNextCommitToo$",
		edits: []edit{{"agent/drift_dropins.go", "	if good == nil || good.DropIns == nil {\n		return list\n", "	if true {\n		return list\n"}},
	},
	{
		name:  "a commit restarts a service without its file",
		by:    "./agent ^TestCommitWaitsForAFileThatItsServiceCannotDoWithout$",
		edits: []edit{{"agent/leave.go", "left && r.Must && isGone(", "left && false && isGone("}},
	},
	{
		name:  "corrections that could not begin count",
		by:    "./agent ^TestDiskThatWasFullForAMinuteDoesNotEndCorrections$",
		edits: []edit{{"agent/correct.go", "	if err != nil && h.Open == nil { // nothing", "	if false { // nothing"}},
	},
	{
		name:  "corrections of a wrong clock count",
		by:    "./agent ^TestCorrectionsCountedByAWrongClockAreForgotten$",
		edits: []edit{{"agent/correct.go", "	return age >= 0 && age < correctionsWithin", "	return age < correctionsWithin"}},
	},
	{
		name:  "a service that a person stopped is started",
		by:    "./agent ^TestDriftThatIsLeftAlone$",
		edits: []edit{{"agent/drift_units.go", "cmp.Or(said, plan.Report)", "cmp.Or(said, plan.Correct)"}},
	},
	{
		name:  "who is started while a file is put back counts as having read it",
		by:    "./agent ^TestServiceRestartedWhileItsFileIsPutBackIsRestartedOnceMore$",
		edits: []edit{{"agent/overlooked.go", "	if !a.isCorrection() {", "	if true {"}},
	},
	{
		name:  "lost events are no reason to look",
		by:    "./agent ^TestLookoutLosesEvents$",
		edits: []edit{{"agent/lookout.go", "				l.outdated() // of that too it may have been told\n				sign()\n", "				l.outdated()\n"}},
	},
	{
		name:  "a directory that was replaced is not watched again",
		by:    "./agent ^TestLookoutFollowsAReplacedDirectory$",
		edits: []edit{{"agent/lookout.go", "		l.stale = true\n	}\n	of :=", "	}\n	of :="}},
	},
	{
		name:  "masks of services that run are not seen",
		by:    "./agent ^TestDriftThatIsLeftAlone$",
		edits: []edit{{"agent/drift_units.go", "case is.Active && h.isMasked(name, detail):", "case false:"}},
	},
	{
		name:  "a commit that is held is not rejected",
		by:    "./agent ^TestHeldCommitIsNotTriedAgainAfterARollback$",
		edits: []edit{{"agent/stay.go", "	h.Ledger.blameFor(a, e.Reason, e.Details, h.Now())\n	h.Ledger.Hold = nil // of another commit\n	hold := h.holdHere()\n", "	hold := &Hold{Reason: e.Reason, Commit: a.Commit}\n	h.Ledger.Hold = hold\n"}},
	},

	// The real disk.
	{
		name:  "the real disk does not sync files",
		by:    "./agent/apply ^TestDiskSyncs$",
		edits: []edit{{"agent/apply/disk_change.go", "	return cause(file.Sync())\n", "	return nil\n"}},
	},
	{
		name:  "the real disk does not sync directories",
		by:    "./agent/apply ^TestDiskSyncs$",
		edits: []edit{{"agent/apply/disk_change.go", "func() error { return unix.Fsync(d.fd) })", "func() error { return nil })"}},
	},
	{
		name:  "paths follow links",
		by:    "./agent/apply ^TestDisk",
		edits: []edit{{"agent/apply/disk.go", "flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC", "flags|unix.O_DIRECTORY|unix.O_CLOEXEC"}},
	},
	{
		name:  "a rename takes the place of what is there",
		by:    "./agent/apply ^TestDisk",
		edits: []edit{{"agent/apply/disk_change.go", "to, unix.RENAME_NOREPLACE)", "to, 0)"}},
	},
	{
		name:  "a new file takes the place of what is there",
		by:    "./agent/apply ^TestDisk",
		edits: []edit{{"agent/apply/disk_change.go", "unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW", "unix.O_CREAT"}},
	},
}
