package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// Audit writes one JSON line per intercepted request to a file, for those who
// have to answer later who asked for what. Secrets are masked as in the log.
//
// Requests do not wait for the disk: lines stand in a queue of bounded length,
// from which one goroutine writes them, each in one write at the file's end,
// whole. What a full disk cut off is written before the next line. A line that
// finds the queue full waits for a moment if others are being written, and is
// lost if not. Failures and lost lines are counted; the log hears of them once a
// minute at most, and when the file can be written again.
//
// Its methods may be called concurrently. A nil Audit writes nothing.
type Audit struct {
	log    *slog.Logger
	format slog.Handler // of lines, into the queue
	lines  chan auditLine
	size   atomic.Int64  // bytes of the lines in the queue
	taken  chan struct{} // holds one when a line has left the queue; one line waits at a time
	again  chan struct{} // holds one while the file is to be opened again
	quit   chan struct{} // closed by Close
	ended  chan struct{} // closed when the last line is written
	once   sync.Once     // closes quit

	failures, lost atomic.Int64
	health         auditHealth
	file           auditFile // the writing goroutine's
}

// auditLine is a line, or word that those before it have been seen to.
type auditLine struct {
	text []byte
	seen chan<- struct{}
}

const (
	auditLines = 4096    // that the queue takes
	auditBytes = 8 << 20 // that it takes, but for the last line
	// auditPatience is how long a line waits for room, and how long a write may
	// last for it to wait at all.
	auditPatience = 100 * time.Millisecond
)

// OpenAudit opens the file of the given name, which is made if it is not there,
// for its owner alone. It refuses a pipe, whose reader would decide which lines
// there are. Close ends what it begins.
func OpenAudit(name string, log *slog.Logger) (*Audit, error) {
	file, err := openAuditFile(name)
	if err != nil {
		return nil, err
	}
	a := &Audit{
		log: log, file: file, lines: make(chan auditLine, auditLines), taken: make(chan struct{}, 1), again: make(chan struct{}, 1),
		quit: make(chan struct{}), ended: make(chan struct{}), health: auditHealth{began: time.Now()},
	}
	a.format = slog.NewJSONHandler(masker{auditQueue{a}}, &slog.HandlerOptions{ReplaceAttr: onlyFacts})
	go a.run()
	return a, nil
}

// onlyFacts drops what says the same in every line.
func onlyFacts(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && (attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return attr
}

// Request writes what r says about a request that took d. All keys are in each
// line; time is when the request began.
func (a *Audit) Request(r *record.Record, d time.Duration) {
	if a == nil {
		return
	}
	line := slog.NewRecord(r.Start.UTC(), slog.LevelInfo, "", 0)
	line.AddAttrs(requestFacts(r, d)...)
	line.AddAttrs(slog.String("client", r.Client), slog.String("retry", r.Retry), slog.String("session", r.Session), slog.String("problem", r.Problem))
	a.format.Handle(context.Background(), line)
}

// auditQueue is where the lines come from, each as one Write and never two at
// once.
type auditQueue struct{ a *Audit }

func (q auditQueue) Write(line []byte) (int, error) {
	q.a.put(bytes.Clone(line))
	return len(line), nil
}

// put puts line into the queue, or loses it.
func (a *Audit) put(line []byte) {
	size := int64(len(line))
	if !a.room(auditLine{text: line}, size) {
		a.size.Add(-size)
		a.lost.Add(1)
		a.fails(a.health.slow(), 1)
	} else if a.health.hangs() {
		a.fails(hangs, 0)
	}
}

// room puts line into the queue if it finds room there in time.
func (a *Audit) room(line auditLine, size int64) bool {
	full := func() bool { return a.size.Load()-size >= auditBytes }
	a.size.Add(size)
	if !full() {
		select {
		case a.lines <- line:
			return true
		case <-a.quit:
			return true // what comes later is not written
		default:
		}
	}
	if a.health.underWay() > auditPatience {
		return false
	}
	late := time.NewTimer(auditPatience)
	defer late.Stop()
	for full() {
		select {
		case <-a.taken:
		case <-a.quit:
			return true
		case <-late.C:
			return false
		}
	}
	select {
	case a.lines <- line:
		return true
	case <-a.quit:
		return true
	case <-late.C:
		return false
	}
}

// run writes lines until Close, and then those that are left.
func (a *Audit) run() {
	defer close(a.ended)
	defer a.file.close()
	for {
		select {
		case l := <-a.lines:
			a.take(l)
		case <-a.again:
			a.reopen()
		case <-a.quit:
			for len(a.lines) > 0 { // nobody else takes any
				a.take(<-a.lines)
			}
			return
		}
	}
}

// take writes a line of the queue.
func (a *Audit) take(l auditLine) {
	if l.seen != nil {
		close(l.seen)
		return
	}
	a.size.Add(-int64(len(l.text)))
	select {
	case a.taken <- struct{}{}:
	default:
	}
	a.health.begin()
	lost, err := a.file.write(l.text)
	a.health.end()
	if err == nil {
		a.works()
		return
	}
	a.failed(lost, err)
}

// Reopen has the file opened by its name again, as is wanted when it has been
// renamed, and does not wait for it. If that cannot be done the old one stays.
func (a *Audit) Reopen() {
	if a == nil {
		return
	}
	select {
	case a.again <- struct{}{}:
	default: // somebody has just asked for it
	}
}

// Errors returns how many writes and openings have failed.
func (a *Audit) Errors() int64 {
	if a == nil {
		return 0
	}
	return a.failures.Load()
}

// Lost returns how many lines were never written.
func (a *Audit) Lost() int64 {
	if a == nil {
		return 0
	}
	return a.lost.Load()
}

// Close has what is left written and ends the file, but waits for that no
// longer than limit. What comes later is not written.
func (a *Audit) Close(limit time.Duration) {
	if a == nil {
		return
	}
	a.once.Do(func() { close(a.quit) })
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-a.ended:
	case <-late.C:
		a.log.Warn("the audit file did not take its last lines in time", "file", a.file.name, "lines", len(a.lines))
	}
}
