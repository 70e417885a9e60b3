package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// catchSignals has the signals sent to a channel, until stop is called.
func catchSignals() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals, func() { signal.Stop(signals) }
}

// attend runs cmd and returns its exit status. The console tells the command
// of Ctrl-C and its own end just as it tells us, so nothing is passed on.
func attend(cmd *exec.Cmd, signals <-chan os.Signal) (status int, err error) {
	if err := cmd.Start(); err != nil {
		return 0, cannotRun(cmd.Args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-signals:
		case err := <-ended:
			if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
				return 0, err
			}
			return cmd.ProcessState.ExitCode(), nil
		}
	}
}

// endLike returns the error with the command's status, nil for 0.
func endLike(status int, _ func()) error { return exitStatus(status) }
