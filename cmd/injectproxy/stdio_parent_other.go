//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd && !windows

package main

// outlived waits for the end of the parent, and reports whether it came before
// quit was closed.
func outlived(parent int, quit <-chan struct{}) bool { return adopted(parent, quit) }
