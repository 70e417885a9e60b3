package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// Audit writes one JSON line per intercepted request to a file, for those who
// have to answer later who asked for what. Secrets are masked as in the log.
//
// Each line is one write at the file's end, whole: what a full disk cut off is
// written before the next line. A write that fails is counted and makes nobody
// wait; the log hears of it once a minute at most, and when the file can be
// written again. Its methods may be called concurrently. A nil Audit writes
// nothing.
type Audit struct {
	name   string
	log    *slog.Logger
	lines  *slog.Logger
	errors atomic.Int64

	mu     sync.Mutex // guards what follows
	file   *os.File
	rest   []byte    // of a line that was not written as a whole
	lost   int64     // lines, since the log last heard that writing works
	warned time.Time // when it last heard that it does not
	owed   bool      // it has not heard since that it works again
}

// auditPause is how often the log hears that lines are lost, and the file is
// opened anew because of that.
const auditPause = time.Minute

// OpenAudit opens the file of the given name, which is made if it is not there,
// for its owner alone. It refuses a pipe, since whoever reads that slowly would
// hold up requests.
func OpenAudit(name string, log *slog.Logger) (*Audit, error) {
	a := &Audit{name: name, log: log}
	a.lines = slog.New(slog.NewJSONHandler(masker{auditWriter{a}}, &slog.HandlerOptions{ReplaceAttr: onlyFacts}))
	var err error
	if a.file, err = openAppending(name); err != nil {
		return nil, err
	}
	a.rest = unended(name)
	return a, nil
}

// onlyFacts drops what says the same in every line.
func onlyFacts(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && (attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return attr
}

func openAppending(name string) (*os.File, error) {
	if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("%s is a pipe, and who reads it would hold up requests", name)
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// unended returns the line's end that the file lacks: a process that was killed
// may have left half a line.
func unended(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil // it may be there to be written only
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return nil
	}
	return []byte("\n")
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
	a.lines.Handler().Handle(context.Background(), line)
}

// auditWriter is where the lines come from, each as one Write and never two at
// once.
type auditWriter struct{ a *Audit }

func (w auditWriter) Write(line []byte) (int, error) {
	w.a.write(line)
	return len(line), nil
}

// write appends line, behind what is left of the one before.
func (a *Audit) write(line []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return // closed
	}
	whole, torn := line, len(a.rest)
	if torn > 0 {
		whole = append(a.rest, line...)
	}
	n, err := a.file.Write(whole)
	switch {
	case err == nil:
		a.rest = nil
		a.recovered()
	case n > torn: // this line has begun
		a.rest = append([]byte(nil), whole[n:]...)
		a.failed(err, false)
	default:
		a.rest = append([]byte(nil), whole[n:torn]...)
		a.failed(err, true)
	}
}

// failed counts a write that failed, and tells of it if it is time to. What is
// wrong with the file may be that it is another by now, as after a file server
// has come back.
func (a *Audit) failed(err error, lost bool) {
	a.errors.Add(1)
	if lost {
		a.lost++
	}
	if time.Since(a.warned) < auditPause {
		return
	}
	a.warned, a.owed = time.Now(), true
	a.log.Warn("the audit file cannot be written", "file", a.name, "error", reason(err), "lost", a.lost,
		"hint", "make room, or mend log.audit; requests go on, and lines that could not be written are lost")
	if !errors.Is(err, syscall.ENOSPC) {
		a.open()
	}
}

func (a *Audit) recovered() {
	if !a.owed {
		return
	}
	a.log.Info("the audit file is written again", "file", a.name, "lost", a.lost)
	a.lost, a.owed = 0, false
}

// Reopen opens the file by its name again, as is wanted when it has been
// renamed. If that cannot be done the old one stays.
func (a *Audit) Reopen() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	if err := a.open(); err != nil {
		a.errors.Add(1)
		a.log.Warn("the audit file cannot be opened again, so the one before is written", "file", a.name, "error", reason(err), "hint", "see to the directory and its permissions, then send SIGHUP")
	}
}

// open puts the file of that name in place of the one that is open.
func (a *Audit) open() error {
	f, err := openAppending(a.name)
	if err != nil {
		return err
	}
	if !same(f, a.file) {
		a.file.Write(a.rest) // the last chance of a line that was cut off
		a.rest = unended(a.name)
	}
	a.file.Close()
	a.file = f
	return nil
}

func same(f, g *os.File) bool {
	a, errA := f.Stat()
	b, errB := g.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// reason is what an error says besides the file's name.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Errors returns how many writes and openings have failed.
func (a *Audit) Errors() int64 {
	if a == nil {
		return 0
	}
	return a.errors.Load()
}

// Close ends the file. What comes later is not written.
func (a *Audit) Close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
}
