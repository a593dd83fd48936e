// Command demo tells the story of evenkeel on a real host: it boots one, serves
// examples/small from a real Git server, and commits good and bad things.
//
// It takes nothing from the agent but its package, which EVENKEEL_DEB names,
// and what "evenkeel status" says. Start reading at story.go; this file keeps
// the host running after the story, for whoever wants to look around.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"evenkeel/e2e/lab"
)

// afterwards is how long the host stays up after the story.
const afterwards = 30 * time.Minute

// tellerVariable is set in the process that tells the story and owns the host.
const tellerVariable = "EVENKEEL_DEMO_TELLER"

func main() {
	lab.Reaper()
	if os.Getenv(tellerVariable) != "" {
		os.Exit(teller())
	}
	if err := endEarlier(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	os.Exit(listen())
}

// listen starts the teller and returns when its story is over; the teller
// itself stays.
func listen() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return 1
	}
	ours, its, err := os.Pipe()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return 1
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), tellerVariable+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{its}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return 1
	}
	_ = its.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	said, _ := io.ReadAll(ours)
	if string(said) != "told" {
		_ = cmd.Wait()
		return 1
	}
	return 0
}

// listenerFD is where the teller finds its end of the pipe.
const listenerFD = 3

// teller tells the story and then keeps the host for a while.
func teller() int {
	// Nothing that it starts may keep the listener waiting.
	syscall.CloseOnExec(listenerFD)
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	done := make(chan int, 1)
	s := &stage{}
	go func() { done <- s.perform() }()
	code := 1
	select {
	case code = <-done:
	case <-end:
	}
	if code == 0 {
		_ = os.WriteFile(pidFile(), []byte(strconv.Itoa(os.Getpid())), 0o600)
		listener := os.NewFile(listenerFD, "listener")
		_, _ = listener.WriteString("told")
		_ = listener.Close()
		letGo()
		select {
		case <-end:
		case <-time.After(afterwards):
		}
		_ = os.Remove(pidFile())
	}
	s.close()
	return code
}

// letGo lets the terminal, or the pipe that somebody reads, see the end.
func letGo() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	_ = syscall.Dup3(int(null.Fd()), 1, 0)
	_ = syscall.Dup3(int(null.Fd()), 2, 0)
}

func pidFile() string {
	dir := os.Getenv("EVENKEEL_CACHE")
	if dir == "" {
		dir = "/var/cache/evenkeel"
	}
	return filepath.Join(dir, "demo.pid")
}

// endEarlier ends the teller of an earlier run, if it is still there and still
// what the file says.
func endEarlier() error {
	content, err := os.ReadFile(pidFile())
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || !isTeller(pid) {
		return os.Remove(pidFile())
	}
	fmt.Println("(ending the host of an earlier demo)")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot end the earlier demo: %w", err)
	}
	if !lab.Poll(time.Minute, func() bool { return !isTeller(pid) }) {
		return fmt.Errorf("cannot end the earlier demo: process %d stays", pid)
	}
	return nil
}

func isTeller(pid int) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && strings.Contains(string(environ), tellerVariable+"=")
}
