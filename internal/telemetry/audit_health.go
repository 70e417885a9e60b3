package telemetry

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// auditPause is how often the log hears that lines are lost, and the file is
// opened anew because of that.
const auditPause = time.Minute

// A write that lasts longer than auditHangs does not look as if it will end.
const (
	auditHangs = 5 * time.Second
	hangs      = "it has taken nothing for a while"
)

// auditHealth is what is known of an audit file.
type auditHealth struct {
	began time.Time    // the clock of what follows
	busy  atomic.Int64 // when the write began that has not ended, 0 if there is none

	mu     sync.Mutex // guards what follows
	since  time.Time  // the file takes no lines, zero if it does
	why    string
	stale  string    // why the file could not be opened again, "" if it could
	staled time.Time // when that was
	lost   int64     // lines, since the log last heard that writing works
	warned time.Time // when it last heard that it does not
	owed   bool      // it has not heard since that it works again
}

func (h *auditHealth) begin() { h.busy.Store(max(1, int64(time.Since(h.began)))) }
func (h *auditHealth) end()   { h.busy.Store(0) }

// underWay returns how long the write has lasted that has not ended.
func (h *auditHealth) underWay() time.Duration {
	if at := h.busy.Load(); at != 0 {
		return time.Since(h.began) - time.Duration(at)
	}
	return 0
}

func (h *auditHealth) hangs() bool { return h.underWay() > auditHangs }

// slow says why there is no room for a line.
func (h *auditHealth) slow() string {
	if h.hangs() {
		return hangs
	}
	return "lines come faster than it takes them"
}

// fails notes that the file takes no lines, and has cost so many now. It reports
// whether it was time to tell of it.
func (a *Audit) fails(why string, lost int64) (told bool) {
	h := &a.health
	h.mu.Lock()
	h.why, h.lost = why, h.lost+lost
	now := time.Now()
	if h.since.IsZero() {
		h.since = now
	}
	if lost = h.lost; !h.warned.IsZero() && now.Sub(h.warned) < auditPause {
		h.mu.Unlock()
		return false
	}
	h.warned, h.owed = now, true
	h.mu.Unlock()
	a.log.Warn("the audit file cannot be written", "file", a.file.name, "error", why, "lost", lost,
		"hint", "make room, or mend log.audit; requests go on, and lines that could not be written are lost")
	return true
}

// failed takes down a write that failed, and tells of it if it is time to. What
// is wrong with the file may be that it is another by now, as after a file
// server has come back.
func (a *Audit) failed(lost int64, err error) {
	a.failures.Add(1)
	a.lost.Add(lost)
	if a.fails(reason(err), lost) && !errors.Is(err, syscall.ENOSPC) && a.open() == nil {
		a.health.opened(nil)
	}
}

// works takes down a write that did not fail. While many lines wait the file is
// not yet well.
func (a *Audit) works() {
	h := &a.health
	h.mu.Lock()
	if h.since.IsZero() || len(a.lines) > auditLines/2 {
		h.mu.Unlock()
		return
	}
	lost, owed := h.lost, h.owed
	h.since, h.why = time.Time{}, ""
	if owed {
		h.lost, h.owed = 0, false
	}
	h.mu.Unlock()
	if owed {
		a.log.Info("the audit file is written again", "file", a.file.name, "lost", lost)
	}
}

// reopen does what Reopen asks for.
func (a *Audit) reopen() {
	err := a.open()
	a.health.opened(err)
	if err == nil {
		a.log.Info("the audit file was opened again", "file", a.file.name)
		return
	}
	a.failures.Add(1)
	a.log.Warn("the audit file cannot be opened again, so the one before is written", "file", a.file.name, "error", reason(err), "hint", "see to the directory and its permissions, then send SIGHUP")
}

func (a *Audit) open() error {
	a.health.begin()
	defer a.health.end()
	return a.file.open()
}

// opened notes what came of opening the file again.
func (h *auditHealth) opened(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = ""
	if err != nil {
		h.stale, h.staled = reason(err), time.Now()
	}
}

// Failing says what is wrong with the file at the moment, since when, and how
// many lines that has cost; an empty why says that nothing is. None are lost if
// it could only not be opened again.
func (a *Audit) Failing() (why string, since time.Time, lost int64) {
	if a == nil {
		return "", time.Time{}, 0
	}
	h := &a.health
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.since.IsZero():
		return h.why, h.since, h.lost
	case h.hangs():
		return hangs, h.began.Add(time.Duration(h.busy.Load())), 0
	case h.stale != "":
		return "it cannot be opened again, and the file before is written: " + h.stale, h.staled, 0
	}
	return "", time.Time{}, 0
}
