package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// mostWords is how many values a label may have that is not given by the
// configuration. They come from fixed sets, which are smaller; should one grow
// out of hand, what is beyond is counted as other.
const mostWords = 40

// words counts by the last label of vec, whose others are given.
type words struct {
	vec    *prometheus.CounterVec
	labels []string

	mu    sync.Mutex
	known map[string]prometheus.Counter
	gone  bool
}

func newWords(vec *prometheus.CounterVec, known []string, labels ...string) *words {
	w := &words{vec: vec, labels: labels, known: map[string]prometheus.Counter{}}
	for _, word := range known {
		w.known[word] = w.counter(word)
	}
	return w
}

func (w *words) counter(word string) prometheus.Counter {
	return w.vec.WithLabelValues(append(w.labels[:len(w.labels):len(w.labels)], word)...)
}

func (w *words) count(word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.known[word]
	if c == nil {
		if w.gone {
			return // whoever is late must not bring back what was removed
		}
		if len(w.known) >= mostWords {
			word = "other"
		}
		c = w.counter(word)
		w.known[word] = c
	}
	c.Inc()
}

// end keeps new values from coming. Who removes vec's series ends it before.
func (w *words) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
}
