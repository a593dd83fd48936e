package unitstest_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"evenkeel/units"
	"evenkeel/units/unitstest"
)

// TestCases runs the cases of testdata. Each is an archive: above the files
// stand a sentence and then commands, one a line; files with an absolute name
// are on the disk from the start, others are there to be put somewhere.
//
//	boot, bootbegin, bootfinish, poweroff
//	tick N                          N seconds pass
//	start|stop|restart|reload UNIT = RESULT
//	start|stop|restart|reload UNIT ! PART OF THE ERROR
//	daemon-reload, reset-failed UNIT
//	put PATH FILE, link PATH SAYS, remove PATH
//	put-old PATH FILE               with the time of a file that is two days old
//	expect UNIT KEY=VALUE...        what Show says, see values; a list is joined by commas
//	remember UNIT, same UNIT, new UNIT   the invocation then and now
//	forgotten UNIT                  it has no invocation
//	runs UNIT PATH FILE             the process was started with this version of PATH
//	processes UNIT...               exactly these run
//	system STATE
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runCase(t, archive)
		})
	}
}

// world is a case that runs.
type world struct {
	*testing.T
	disk    dated
	s       *unitstest.Systemd
	files   map[string]string
	invoked map[string]string
	puts    int64
}

func runCase(t *testing.T, archive *txtar.Archive) {
	w := &world{T: t, disk: dated{unitstest.Files{}, map[string]int64{}}, files: map[string]string{}, invoked: map[string]string{}}
	version := 257
	for _, f := range archive.Files {
		w.files[f.Name] = string(f.Data)
		if strings.HasPrefix(f.Name, "/") {
			w.disk.Files[f.Name] = string(f.Data)
			if says, ok := strings.CutPrefix(string(f.Data), "-> "); ok {
				w.disk.Files[f.Name] = "-> " + strings.TrimSpace(says)
			}
		}
	}
	lines := strings.Split(string(archive.Comment), "\n")
	if slices.Contains(lines, "version 252") {
		version = 252
	}
	w.s = unitstest.New(unitstest.Config{Disk: w.disk, Version: version})
	commands := 0
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" || words[0] == "version" {
			continue
		}
		commands++
		if fault := w.do(words); fault != "" {
			t.Errorf("line %d: %s: %s", i+1, line, fault)
		}
		// A clone in between must change nothing.
		w.s = w.s.Clone(w.disk, nil)
	}
	if commands == 0 {
		t.Error("the case has no commands")
	}
}

// dated is a disk that knows times: when each file was put there.
type dated struct {
	unitstest.Files
	times map[string]int64
}

func (d dated) MTime(path string) (int64, bool) {
	_, ok := d.Files[path]
	return d.times[path], ok
}

func (w *world) put(path, text string, age int64) {
	w.disk.Files[path] = text
	w.puts++
	w.disk.times[path] = w.puts*int64(time.Second) + age
}

// file gives the content of a file of the case.
func (w *world) file(name string) string {
	text, ok := w.files[name]
	if !ok {
		w.Errorf("the case has no file %q", name)
	}
	return text
}

// do runs one command and says what is wrong.
func (w *world) do(words []string) (fault string) {
	ctx := w.Context()
	switch command, args := words[0], words[1:]; command {
	case "boot":
		w.s.Boot()
	case "bootbegin":
		w.s.BootBegin()
	case "bootfinish":
		w.s.BootFinish()
	case "poweroff":
		w.s.PowerOff()
	case "tick":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err.Error()
		}
		w.s.Tick(n)
	case "start", "stop", "restart", "reload":
		return w.job(ctx, units.Verb(command), args)
	case "daemon-reload":
		return complain(w.s.DaemonReload(ctx))
	case "reset-failed":
		return complain(w.s.ResetFailed(ctx, args[0]))
	case "put":
		w.put(args[0], w.file(args[1]), 0)
	case "put-old":
		w.put(args[0], w.file(args[1]), -2*24*int64(time.Hour))
	case "link":
		w.put(args[0], "-> "+args[1], 0)
	case "remove":
		delete(w.disk.Files, args[0])
	default:
		return w.look(ctx, command, args)
	}
	return ""
}

func complain(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func (w *world) job(ctx context.Context, verb units.Verb, args []string) string {
	result, err := w.s.Run(ctx, verb, args[0])
	want := strings.Join(args[2:], " ")
	if args[1] == "!" {
		if err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Sprintf("got result %q and error %v", result, err)
		}
		return ""
	}
	if result != want || err != nil {
		return fmt.Sprintf("got result %q and error %v", result, err)
	}
	return ""
}

// look runs the commands that only look.
func (w *world) look(ctx context.Context, command string, args []string) string {
	switch command {
	case "system":
		system, err := w.s.System(ctx)
		if err != nil || system.State != args[0] {
			return fmt.Sprintf("it is %q, error %v", system.State, err)
		}
		return ""
	case "processes":
		if got := slices.Sorted(maps.Keys(w.s.Processes())); !slices.Equal(got, args) {
			return fmt.Sprintf("there run %v", got)
		}
		return ""
	case "runs":
		got := w.s.Processes()[args[0]].Inputs[args[1]]
		if want := (unitstest.Files{"/x": w.file(args[2])}).Print("/x"); got != want {
			return fmt.Sprintf("it runs with %s", got)
		}
		return ""
	}
	d, err := w.s.Show(ctx, args[0])
	if err != nil {
		return err.Error()
	}
	switch before := w.invoked[args[0]]; command {
	case "remember":
		w.invoked[args[0]] = d.Invocation
	case "same":
		if d.Invocation != before {
			return "it was started anew"
		}
	case "new":
		if d.Invocation == before || d.Invocation == "" {
			return "it was not started anew"
		}
	case "forgotten":
		if d.Invocation != "" {
			return "it is remembered"
		}
	case "expect":
		return expect(d, args[1:])
	default:
		return "there is no such command"
	}
	return ""
}

func expect(d units.Detail, want []string) string {
	values := values(d)
	for _, pair := range want {
		key, value, _ := strings.Cut(pair, "=")
		if got, ok := values[key]; !ok || got != value {
			return fmt.Sprintf("%s is %q", key, got)
		}
	}
	return ""
}

// values is what a case may expect, by key.
func values(d units.Detail) map[string]string {
	list := func(l []string) string { return strings.Join(l, ",") }
	return map[string]string{
		"load": d.Load, "active": d.Active, "sub": d.Sub, "result": d.Result, "job": d.Job,
		"restarts": fmt.Sprint(d.Restarts), "exit": fmt.Sprint(d.ExitStatus), "condition": fmt.Sprint(d.Condition),
		"file": d.UnitFileState, "fragment": d.Fragment, "dropins": list(d.DropIns),
		"needreload": fmt.Sprint(d.NeedReload), "canreload": fmt.Sprint(d.CanReload), "type": d.Type,
		"requires": list(d.Requires), "wants": list(d.Wants), "after": list(d.After), "before": list(d.Before),
		"requiredby": list(d.RequiredBy), "boundby": list(d.BoundBy), "consistsof": list(d.ConsistsOf),
		"conflictedby": list(d.ConflictedBy), "triggers": list(d.Triggers), "triggeredby": list(d.TriggeredBy),
		"started": fmt.Sprint(!d.MainStart.IsZero()), "pid": fmt.Sprint(d.MainPID != 0),
	}
}
