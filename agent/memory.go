package agent

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// giveBack makes the daemon small, at once. After a look that found nothing it is done by a
// pass, and not more often than that: on a host with much to look at it takes a while. It is
// done once more a while later: what somebody still held the first time goes then.
func (d *daemon) giveBack() {
	d.host.Ledger.putAway()
	giveBack()
	d.owing, d.again, d.gaveBack = false, true, time.Now()
}

// giveBackOwed gives back what looks have taken, and what was needed of the ledger.
func (d *daemon) giveBackOwed() {
	switch since := time.Since(d.gaveBack); {
	case (d.owing || d.host.Ledger.isOff()) && since > restAge:
		d.giveBack()
	case d.again && since > againAge:
		d.giveBack()
		d.again = false
	}
}

// giveBack makes a daemon that waits small: rendering and staging are over. Besides
// the heap it lets go of the program's own code and constants, of which an idle
// poll needs a small part: what is needed comes back from the file by itself.
func giveBack() {
	runtime.GC() // what is kept to be used again, such as buffers of encoding/json, goes with the second one
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 || fields[5] != self {
			continue
		}
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil || to <= from {
			continue
		}
		// Only what cannot differ from the file. Constants of a program that is loaded
		// anywhere (PIE, high up) hold addresses that were put in after they were read.
		code, constants := fields[1] == "r-xp", fields[1] == "r--p" && to < 1<<32
		if code || constants {
			// Advice that is not taken costs nothing.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
