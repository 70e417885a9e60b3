//go:build profile

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
)

// profile begins the profiles that the environment asks for, and what it
// returns ends them and writes them: INJECTPROXY_CPUPROFILE names the file for
// the time of the processor, INJECTPROXY_MEMPROFILE that for memory, allocated
// since the start and in use at the last collection.
//
// Only programs built with the tag "profile" can do this. Who may set the
// environment of a release cannot have it write files.
func profile() (end func() error, err error) {
	cpu, err := createProfile("INJECTPROXY_CPUPROFILE")
	if err != nil {
		return nil, err
	}
	memory, err := createProfile("INJECTPROXY_MEMPROFILE")
	if err != nil {
		return nil, err
	}
	if cpu != nil {
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, err
		}
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(closeProfile(cpu, nil), closeProfile(memory, func(w io.Writer) error {
			return pprof.Lookup("allocs").WriteTo(w, 0)
		}))
	}, nil
}

// createProfile creates the file that the variable names, nil if it names none.
func createProfile(variable string) (*os.File, error) {
	name := os.Getenv(variable)
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return f, nil
}

// closeProfile has write, which may be nil, fill f, which may be nil, and
// closes it.
func closeProfile(f *os.File, write func(io.Writer) error) (err error) {
	if f == nil {
		return nil
	}
	if write != nil {
		err = write(f)
	}
	return errors.Join(err, f.Close())
}
