//go:build !linux

package main

import (
	"errors"
	"time"
)

// A usage is what a process and its descendants have used.
type usage struct {
	cpu      time.Duration
	resident int64
}

// usageOf is written for Linux' /proc alone.
func usageOf(int) (usage, error) {
	return usage{}, errors.New("what a process uses is only measured on Linux: run it there")
}
