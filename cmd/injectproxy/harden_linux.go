package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// seal takes the memory of this process, its environment and its descriptors
// out of the reach of the user's other processes: no ptrace, nothing to read in
// /proc, and no core dump, wherever that would go (a limit does not hold for a
// core that is piped to a program). Only root gets at it. What we start is not
// sealed: exec(2) makes it as it was.
func seal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("other processes of yours may read this one's memory: %w", err)
	}
	return nil
}
