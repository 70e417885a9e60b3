package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// How long the end of a bridge may take. Clients kill a server that does not end
// soon, and that leaves more undone.
const (
	mostEnd      = 900 * time.Millisecond // all of it, whatever hangs
	graceOfCalls = 500 * time.Millisecond // what package stdio gives to calls at the end of the input
	closeMost    = 150 * time.Millisecond // for what fetches tokens
	settleBridge = 300 * time.Millisecond // for the last traces and lines of the audit file
)

// catchEnds has the signals that end a bridge sent to a channel, until stop is
// called. Those that are ignored stay so. A client that is gone is an error of
// writing, for the rest of the process, not a signal to die of with the session
// at the server left open, or before the error is told.
func catchEnds() (signals <-chan os.Signal, stop func()) {
	ends := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
	caught := make(chan os.Signal, 4)
	if len(ends) > 0 { // none would mean all
		signal.Notify(caught, ends...)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return caught, func() { signal.Stop(caught) }
}

// attend bridges until the client, a signal or the end of the process parent
// ends it. Nothing is left running when it returns, unless that takes longer
// than clients wait, or a second signal wants it at once.
func (b *bridge) attend(stdin io.Reader, stdout io.Writer, signals <-chan os.Signal, parent int) error {
	orphaned, unwatch := watchParent(parent)
	defer func() { go unwatch() }() // which takes half a second on some systems
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := newClientEnds(stdin, stdout)
	done := make(chan error, 1)
	go func() {
		err := b.Run(ctx, client.in, client.out)
		b.quiet.now()
		b.settle()
		done <- err
	}()
	end := func() {
		b.quiet.now()
		cancel()
	}
	return untilEnded(done, client.over, signals, orphaned, end, b.quiet.now, b.log)
}

// settle ends what fetches tokens, and writes down what is not written yet.
func (b *bridge) settle() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.in.close()
	}()
	late := time.NewTimer(closeMost)
	defer late.Stop()
	select {
	case <-closed:
	case <-late.C: // a child that is not ours to end has its output
	}
	b.in.around.settle(settleBridge)
}

// untilEnded returns what comes of done. A signal, or the end of our parent, has
// it come, and over says that it comes by itself; it is not waited for longer
// than mostEnd. A further signal does not wait for it at all. Quiet is called
// before calls are given up whose client has gone.
func untilEnded(done, over <-chan error, signals <-chan os.Signal, orphaned <-chan struct{}, end, quiet func(), log *slog.Logger) error {
	var told time.Time // to end, by a signal
	var late, given <-chan time.Time
	var broken error
	for {
		select {
		case err := <-done:
			return unspoken(err)
		case broken = <-over:
			given = time.After(graceOfCalls)
			late = sooner(late)
			continue
		case <-given:
			quiet()
			continue
		case <-late:
			log.Info("something does not end: it is left behind")
			return unspoken(broken)
		case s := <-signals:
			if told.IsZero() {
				log.Info("ending", "signal", s.String())
				told = time.Now()
			} else if time.Since(told) > echo {
				return &failure{status: exitFailed, err: errors.New("stopped at once by a second signal")}
			}
		case <-orphaned:
			log.Info("ending: the process that started this one has ended")
			orphaned = nil
		}
		late = sooner(late)
		end()
	}
}

// sooner returns late, or the limit of an end that begins now.
func sooner(late <-chan time.Time) <-chan time.Time {
	if late != nil {
		return late
	}
	return time.After(mostEnd)
}

func unspoken(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the client cannot be spoken to: %w", err)
}

// clientEnds are standard input and output of a bridge, which tell when one of
// them is over.
type clientEnds struct {
	in   io.Reader
	out  io.Writer
	over chan error // gets nil at the end of in, or what is wrong with one of them, once
}

func newClientEnds(in io.Reader, out io.Writer) *clientEnds {
	c := &clientEnds{over: make(chan error, 1)}
	c.in, c.out = noticedReader{in, c}, noticedWriter{out, c}
	return c
}

func (c *clientEnds) note(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	select {
	case c.over <- err:
	default:
	}
}

type noticedReader struct {
	io.Reader
	of *clientEnds
}

// Read implements [io.Reader].
func (r noticedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.of.note(err)
	}
	return n, err
}

type noticedWriter struct {
	io.Writer
	of *clientEnds
}

// Write implements [io.Writer].
func (w noticedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.of.note(err)
	}
	return n, err
}

// hush is how a log is made quiet. What is given up at the end fails, and that is
// no fault that anybody could mend.
type hush struct{ is atomic.Bool }

func (h *hush) now() { h.is.Store(true) }

// hushed has no warnings any more once it was made quiet. What the log says to
// whoever wants to know more stays.
type hushed struct {
	slog.Handler
	quiet *hush
}

// Enabled implements [slog.Handler].
func (h hushed) Enabled(ctx context.Context, level slog.Level) bool {
	if level == slog.LevelWarn && h.quiet.is.Load() {
		return false
	}
	return h.Handler.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (h hushed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hushed{h.Handler.WithAttrs(attrs), h.quiet}
}

// WithGroup implements [slog.Handler].
func (h hushed) WithGroup(name string) slog.Handler {
	return hushed{h.Handler.WithGroup(name), h.quiet}
}
