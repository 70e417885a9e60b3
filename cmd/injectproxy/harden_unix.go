//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitCores turns core dumps off, for this process and what it starts (az and
// its like hold tokens, too), for good.
func limitCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	return nil
}
