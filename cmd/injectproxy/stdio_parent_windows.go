package main

import (
	"golang.org/x/sys/windows"
)

// outlived waits for the end of the parent, and reports whether it came before
// quit was closed. A parent that had ended before us is nobody's client: what
// has its number now is younger than we are.
func outlived(parent int, quit <-chan struct{}) bool {
	process, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(parent))
	if err != nil {
		<-quit
		return false
	}
	defer windows.CloseHandle(process)
	if born(process) > born(windows.CurrentProcess()) {
		<-quit
		return false
	}
	for {
		select {
		case <-quit:
			return false
		default:
		}
		event, err := windows.WaitForSingleObject(process, uint32(ppidInterval.Milliseconds()))
		if err != nil {
			<-quit
			return false
		}
		if event == windows.WAIT_OBJECT_0 {
			return true
		}
	}
}

// born is when a process began, in nanoseconds, 0 if that cannot be known.
func born(process windows.Handle) int64 {
	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &ended, &kernel, &user); err != nil {
		return 0
	}
	return created.Nanoseconds()
}
