package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// seal refuses debuggers, as ssh-agent does: whoever traces this process already
// ends it by that. It holds for this process and not for what we start.
func seal() error {
	if err := unix.PtraceDenyAttach(); err != nil {
		return fmt.Errorf("other processes of yours may read this one's memory: %w", err)
	}
	return nil
}
