package gate

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDrainLosesNoEventThatTheUpstreamHadSent holds of events that wait for one
// another, however the upstream's connection hands them over.
func TestDrainLosesNoEventThatTheUpstreamHadSent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 7, leastPiece, 4 * leastPiece} {
		synctest.Test(t, func(t *testing.T) {
			up, s := piped(t, time.Time{})
			draining := make(chan struct{})
			s.draining = draining
			h := listen(s)
			say(t, up, "data: first\n\n")
			h.all()
			var rest strings.Builder
			for i := range 100 {
				fmt.Fprintf(&rest, "data: %d\n\n", i)
			}
			sent := rest.String()
			close(draining)
			for b := sent; b != ""; b = b[min(size, len(b)):] {
				say(t, up, b[:min(size, len(b))])
			}
			began := time.Now()
			if err := <-h.end; err != io.EOF || time.Since(began) != lastWords {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if got := h.all(); got != sent {
				t.Errorf("by %d: %d bytes of %d arrived", size, len(got), len(sent))
			}
		})
	}
}

func TestDrainEndsAStreamThatNeverRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, s := piped(t, time.Time{})
		draining := make(chan struct{})
		s.draining = draining
		sent, talked := 0, make(chan struct{})
		go func() {
			defer close(talked)
			for {
				if _, err := io.WriteString(up, "data: 1\n\n"); err != nil {
					return
				}
				sent++
				time.Sleep(lastWords / 5)
			}
		}()
		h := listen(s)
		time.Sleep(time.Second)
		close(draining)
		began := time.Now()
		if err := <-h.end; err != io.EOF || time.Since(began) < mostLastWords || time.Since(began) > mostLastWords+lastWords {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		s.Close()
		<-talked
		if got := strings.Count(h.all(), "data: 1\n\n"); got != sent {
			t.Errorf("%d of %d events arrived", got, sent)
		}
	})
}
