//go:build !linux

package collector

// memoryLimit returns 0: other systems have no control groups.
func memoryLimit() int64 { return 0 }
