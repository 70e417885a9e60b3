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
			result <- untilEnded(make(chan error), nil, signals, nil, end, nil, slog.New(slog.DiscardHandler))
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
	if err := untilEnded(done, nil, nil, orphaned, func() { ends++; done <- nil }, nil, log); err != nil || ends != 1 {
		t.Errorf("%v, told to end %d times", err, ends)
	}
	done <- io.ErrClosedPipe
	if err := untilEnded(done, nil, nil, nil, nil, nil, log); !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "the client cannot be spoken to: ") {
		t.Errorf("%v", err)
	}
}

// Whatever hangs, the end comes within a second of what began it, and with the
// status that it would have had.
func TestEndOfStdioWaitsForNothingThatHangs(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(over chan<- error, signals chan<- os.Signal, orphaned chan<- struct{}){
		"end of input": func(over chan<- error, _ chan<- os.Signal, _ chan<- struct{}) { over <- nil },
		"closed output": func(over chan<- error, _ chan<- os.Signal, _ chan<- struct{}) {
			over <- io.ErrClosedPipe
		},
		"signal": func(_ chan<- error, signals chan<- os.Signal, _ chan<- struct{}) { signals <- syscall.SIGTERM },
		"parent": func(_ chan<- error, _ chan<- os.Signal, orphaned chan<- struct{}) { close(orphaned) },
		"all": func(over chan<- error, signals chan<- os.Signal, orphaned chan<- struct{}) {
			over <- nil
			time.Sleep(mostEnd / 2)
			signals <- syscall.SIGTERM
			close(orphaned)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				over, signals, orphaned := make(chan error), make(chan os.Signal), make(chan struct{})
				var hushed time.Time
				quiet := func() { hushed = time.Now() }
				start := time.Now()
				go begin(over, signals, orphaned)
				err := untilEnded(make(chan error), over, signals, orphaned, quiet, quiet, slog.New(slog.DiscardHandler))
				if took := time.Since(start); took != mostEnd || (err != nil) != (name == "closed output") {
					t.Errorf("after %s: %v", took, err)
				}
				if since := hushed.Sub(start); since != 0 && since != mostEnd/2 && since != graceOfCalls {
					t.Errorf("quiet after %s", since)
				}
			})
		})
	}
}

// The end of either pipe is noticed, the first of them, and nobody has to listen.
func TestEndsOfTheClientAreNoticed(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	c := newClientEnds(strings.NewReader("x"), w)
	if b, err := io.ReadAll(c.in); string(b) != "x" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	r.Close()
	if _, err := c.out.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if err := <-c.over; err != nil || len(c.over) > 0 {
		t.Errorf("the end of the input is %v", err)
	}
	c.out.Write([]byte("x"))
	if err := <-c.over; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the end of the output is %v", err)
	}
}

// A log that was made quiet has no warnings, from wherever they come, and the
// rest all the same.
func TestQuietLogHasNoWarnings(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	quiet := new(hush)
	log := slog.New(hushed{slog.NewTextHandler(&out, nil), quiet})
	inner := log.With("a", 1).WithGroup("g")
	inner.Warn("before")
	quiet.now()
	log.Warn("after")
	inner.Warn("after")
	inner.Error("grave")
	log.Info("told")
	if got := out.String(); strings.Contains(got, "after") || !strings.Contains(got, "before") || !strings.Contains(got, "grave") || !strings.Contains(got, "told") {
		t.Errorf("%s", got)
	}
}

// The watch of a parent that lives goes on until it is stopped, and leaves
// nothing behind (goleak).
func TestParentIsWatchedUntilThatIsStopped(t *testing.T) {
	t.Parallel()
	ended, stop := watchParent(os.Getppid())
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
