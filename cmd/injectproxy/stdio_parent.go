package main

import (
	"os"
	"sync"
	"time"
)

// watchParent returns a channel that is closed when parent, the process that has
// started this one, has ended, and what ends the watch. A client that dies does
// not always close our input: another process may have it, too. Without a parent
// that can be watched, nothing is.
func watchParent(parent int) (ended <-chan struct{}, stop func()) {
	if parent <= 1 {
		return nil, func() {} // its end is ours, or it has ended already
	}
	gone, quit := make(chan struct{}), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		if outlived(parent, quit) {
			close(gone)
		}
	})
	return gone, sync.OnceFunc(func() {
		close(quit)
		watching.Wait()
	})
}

// ppidInterval is how often it is looked who the parent is, where the system
// tells no better.
const ppidInterval = 500 * time.Millisecond

// adopted waits until the process has another parent, which is when its own has
// ended, and reports that; or false, once quit is closed.
func adopted(parent int, quit <-chan struct{}) bool {
	look := time.NewTicker(ppidInterval)
	defer look.Stop()
	for os.Getppid() == parent {
		select {
		case <-look.C:
		case <-quit:
			return false
		}
	}
	return true
}
