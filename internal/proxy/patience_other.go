//go:build !linux

package proxy

import "syscall"

// boundRetransmission does nothing: other systems give up by themselves sooner,
// or cannot be told.
func boundRetransmission(syscall.RawConn) {}
