package admin

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

const (
	maxWatchers = 16
	maxWaiting  = 512 // messages for one watcher; the oldest of more are lost
)

// Feed hands messages to those who watch. It waits for nobody: who is slow
// loses the oldest. The zero Feed is ready; it is safe for concurrent use, and
// costs next to nothing while nobody watches.
type Feed struct {
	watched atomic.Int32

	mu       sync.Mutex
	watchers map[*watcher]bool
}

// message is an event for the page: a name and JSON.
type message struct {
	kind string
	data []byte
}

// watcher is one who watches. Its fields are the Feed's to guard.
type watcher struct {
	waiting []message
	lost    bool          // there were more
	more    chan struct{} // has a value while there is something
}

// Publish sends v, as JSON, to all who watch. It has no further use for v.
func (f *Feed) Publish(kind string, v any) {
	if !f.Watched() {
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		return // nothing that is shown is of such a type
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		w.put(message{kind, data})
	}
}

// Watched reports whether anybody watches.
func (f *Feed) Watched() bool { return f.watched.Load() > 0 }

func (w *watcher) put(m message) {
	if len(w.waiting) >= maxWaiting {
		w.waiting, w.lost = w.waiting[maxWaiting/2:], true
	}
	w.waiting = append(w.waiting, m)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// watch returns a new watcher, or nil if there are too many.
func (f *Feed) watch() *watcher {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) >= maxWatchers {
		return nil
	}
	if f.watchers == nil {
		f.watchers = map[*watcher]bool{}
	}
	w := &watcher{more: make(chan struct{}, 1)}
	f.watchers[w] = true
	f.watched.Store(int32(len(f.watchers)))
	return w
}

func (f *Feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
	f.watched.Store(int32(len(f.watchers)))
}

// take returns what waits for w, and whether something was lost before it.
func (f *Feed) take(w *watcher) (messages []message, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages, lost = w.waiting, w.lost
	w.waiting, w.lost = nil, false
	return messages, lost
}
