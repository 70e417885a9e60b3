package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The signal that a process manager sends to a process and then to its group is
// one; a later one does not wait for anything any more.
func TestSecondSignalEndsStdioAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals, ended, result := make(chan os.Signal), make(chan struct{}, 9), make(chan error, 1)
		end := func() { ended <- struct{}{} }
		go func() {
			result <- untilEnded(make(chan error), signals, nil, end, slog.New(slog.DiscardHandler))
		}()
		signals <- syscall.SIGTERM
		time.Sleep(echo)
		signals <- syscall.SIGTERM
		synctest.Wait()
		if len(ended) != 2 || len(result) != 0 {
			t.Errorf("told to end %d times, returned: %v", len(ended), len(result) != 0)
		}
		time.Sleep(time.Millisecond)
		signals <- os.Interrupt
		var f *failure
		if err := <-result; !errors.As(err, &f) || f.status != exitFailed {
			t.Errorf("%v", err)
		}
	})
}

// The end of our parent ends us once; so does the end of what serves the client,
// for whatever reason.
func TestStdioEndsByItsParentAndByItself(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	done, orphaned := make(chan error, 1), make(chan struct{})
	close(orphaned)
	ends := 0
	if err := untilEnded(done, nil, orphaned, func() { ends++; done <- nil }, log); err != nil || ends != 1 {
		t.Errorf("%v, told to end %d times", err, ends)
	}
	done <- io.ErrClosedPipe
	if err := untilEnded(done, nil, nil, nil, log); !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "the client cannot be spoken to: ") {
		t.Errorf("%v", err)
	}
}

// The watch of a parent that lives goes on until it is stopped, and leaves
// nothing behind (goleak).
func TestParentIsWatchedUntilThatIsStopped(t *testing.T) {
	t.Parallel()
	ended, stop := watchParent()
	if ended == nil {
		t.Skip("this process has no parent that could be watched")
	}
	select {
	case <-ended:
		t.Error("it has ended, it says")
	default:
	}
	stop()
	stop()
	quit := make(chan struct{})
	close(quit)
	if adopted(os.Getppid(), quit) {
		t.Error("another parent, it says")
	}
	if !adopted(os.Getppid()+1, make(chan struct{})) {
		t.Error("another parent is not seen")
	}
}
