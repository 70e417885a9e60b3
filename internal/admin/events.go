package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	pulseEvery = time.Second
	plotsEvery = 5 * time.Second
	beatEvery  = 15 * time.Second // a comment, for proxies that end what is silent

	writeLimit = 10 * time.Second // for each answer, or part of one that does not end
)

// What is shown to all who watch alike.
const (
	showStatus = iota
	showPulse
	showPlots
	shows
)

// events sends what happens as server-sent events (HTML, section 9.2) until the
// client leaves or the server is closed: "status" at first and whenever
// something was lost, "pulse" and "plots" at their times, and in between what the
// Feed has.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	feed := s.o.Feed
	if feed == nil {
		feed = new(Feed)
	}
	watcher := feed.watch()
	if watcher == nil || !s.begin() {
		say(w, http.StatusServiceUnavailable, "enough pages are open: close another")
		if watcher != nil {
			feed.leave(watcher)
		}
		return
	}
	defer s.watching.Done()
	defer feed.leave(watcher)
	out := &stream{w: w, rc: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	out.put("retry: 1000\n\n")
	out.event("status", s.show(showStatus))
	out.event("plots", s.show(showPlots))
	pulse, plots, beat := time.NewTicker(pulseEvery), time.NewTicker(plotsEvery), time.NewTicker(beatEvery)
	defer pulse.Stop()
	defer plots.Stop()
	defer beat.Stop()
	for out.flush() {
		select {
		case <-r.Context().Done():
			return
		case <-watcher.more:
			messages, lost := feed.take(watcher)
			if lost {
				out.event("status", s.show(showStatus))
			}
			for _, m := range messages {
				out.event(m.kind, m.data)
			}
		case <-pulse.C:
			out.event("pulse", s.show(showPulse))
		case <-plots.C:
			out.event("plots", s.show(showPlots))
		case <-beat.C:
			out.put(": still here\n\n")
		}
	}
}

// begin counts one who watches, unless the server is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.watching.Add(1)
	return true
}

// stream is an answer in the making.
type stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
}

func (o *stream) put(s string) { o.buf.WriteString(s) }

// event adds an event with JSON, which has no line breaks; without data, none.
func (o *stream) event(kind string, data []byte) {
	if data == nil {
		return
	}
	o.put("event: " + kind + "\ndata: ")
	o.buf.Write(data)
	o.put("\n\n")
}

// flush sends what was put, and reports whether the client still reads.
func (o *stream) flush() bool {
	o.rc.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := o.w.Write(o.buf.Bytes()); err != nil {
		return false
	}
	o.buf.Reset()
	return o.rc.Flush() == nil
}

// memo is a piece of JSON that is good for all who want it at about the same
// time.
type memo struct {
	mu   sync.Mutex
	made time.Time
	json []byte
}

// show returns what is shown of one kind, nil if there is none.
func (s *Server) show(what int) []byte {
	of := [shows]func() any{s.o.Status, s.o.Pulse, s.o.Plots}[what]
	if of == nil {
		return nil
	}
	m := &s.shown[what]
	m.mu.Lock()
	defer m.mu.Unlock()
	// The status has to be of after its watcher came, or it misses something.
	if what == showStatus || time.Since(m.made) > pulseEvery/2 {
		b, err := json.Marshal(of())
		if err != nil {
			return nil // nothing that is shown is of such a type
		}
		m.made, m.json = time.Now(), b
	}
	return m.json
}
