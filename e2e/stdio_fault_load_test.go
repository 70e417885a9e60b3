package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// status returns a line of /proc/PID/status, in bytes or a plain number.
func (b *bridged) status(name string) (n int) {
	b.t.Helper()
	if runtime.GOOS != "linux" {
		b.t.Skip("there is no /proc to look into")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), name+":"); ok {
			unit := ""
			fmt.Sscan(rest, &n, &unit)
			if unit == "kB" {
				n <<= 10
			}
			return n
		}
	}
	b.t.Fatalf("no %s in the status of the bridge", name)
	return 0
}

// wantPeak wants the bridge never to have had more than so many bytes.
func (b *bridged) wantPeak(most int) {
	b.t.Helper()
	peak := b.status("VmHWM")
	b.t.Logf("the most memory was %d MiB", peak>>20)
	if peak > most {
		b.t.Errorf("the bridge had %d MiB, want at most %d", peak>>20, most>>20)
	}
}

// TestStdioLargeMessages: messages of 10 MB pass both ways, several at a time,
// byte for byte.
func TestStdioLargeMessages(t *testing.T) {
	thorough(t)
	t.Parallel()
	const size, atOnce = 10_000_000, 4
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	b := f.bridge(bridging{token: lines, hidden: []string{token}, plain: true})
	b.initialize()
	for round := range 2 {
		for n := range atOnce {
			text := strings.Repeat(string(rune('a'+n)), size)
			b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"%d-%d","method":"tools/call","params":{"name":"echo","arguments":{"key":"%d-%d","text":"%s"}}}`, round, n, round, n, text))
		}
		for n := range atOnce {
			id := fmt.Sprintf(`"%d-%d"`, round, n)
			if m := b.await(id); m.Error != nil || string(m.Result) != spoken(strings.Repeat(string(rune('a'+n)), size)) {
				t.Errorf("call %s: %d bytes came back, error %+v", id, len(m.Result), m.Error)
			}
			b.mu.Lock()
			b.answers[id][0].Result = nil
			b.mu.Unlock()
		}
	}
	// Each of the calls is there once as a line and once on its way, and its
	// answer likewise, in buffers that grew by doubling: 8 sizes for each.
	b.wantPeak(64<<20 + 8*atOnce*size)
}

// TestStdioThousandCallsAtOnceAndAReaderWhoWaits: so many calls reach the server
// while nobody reads what the bridge writes. Then all are answered, once each.
func TestStdioThousandCallsAtOnceAndAReaderWhoWaits(t *testing.T) {
	thorough(t)
	t.Parallel()
	const calls, size = 1000, 64 << 10
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	slow := make(chan struct{})
	b := f.bridge(bridging{token: lines, hidden: []string{token}, slow: slow, plain: true})
	b.send(initializeLine, initializedLine)
	for n := range calls {
		b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"size","arguments":{"key":"%d","size":%d}}}`, n, n, size))
	}
	f.until("all calls were carried out", func() bool { return len(f.executed) == calls })
	close(slow)
	for n := range calls {
		if m := b.await(fmt.Sprint(n)); m.Error != nil || len(m.Result) != len(spoken(""))+size {
			t.Fatalf("call %d: %d bytes, error %+v", n, len(m.Result), m.Error)
		}
		if f.times(fmt.Sprint(n)) != 1 {
			t.Errorf("call %d was carried out more than once", n)
		}
	}
	wantOneSession(t, f)
	// A server may send so much of each answer before anybody reads it. It is
	// there in frames and as a message, and twice that is what the collector
	// leaves. A bridge that does nothing has 90 MiB by then.
	b.wantPeak(128<<20 + 4*calls*size)
}

// TestStdioReaderWhoWaitsHoldsTheServerUp: while nobody reads, the bridge does
// not either. What the server has to say waits there, and nothing is lost.
func TestStdioReaderWhoWaitsHoldsTheServerUp(t *testing.T) {
	thorough(t)
	t.Parallel()
	const pieces, size = 200, 1 << 20
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	slow := make(chan struct{})
	b := f.bridge(bridging{token: lines, hidden: []string{token}, slow: slow, plain: true})
	b.send(initializeLine, initializedLine)
	b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"flood","arguments":{"key":"%d","size":%d}}}`, pieces, size))
	f.until("the server is held up, or has said all", f.heldUp(pieces))
	close(slow)
	b.await("1")
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.unasked); n != pieces {
		t.Fatalf("%d pieces came before the answer, want %d", n, pieces)
	}
	for n := range pieces {
		if want := flooded(n, size); string(b.unasked[n].Params) != want {
			t.Fatalf("piece %d is %.60q…, want %.60q…", n, b.unasked[n].Params, want)
		}
	}
	b.wantPeak(160 << 20) // of 200 MiB, and 90 that it has anyway
}

// heldUp returns what tells whether the server waits in its flood, or has come
// to its end: it said nothing for a while.
func (f *faulty) heldUp(pieces int) func() bool {
	again := time.NewTicker(time.Second)
	f.t.Cleanup(again.Stop)
	go func() { // wakes who waits
		for range 30 {
			select {
			case <-again.C:
				f.change(func() {})
			case <-f.t.Context().Done():
				return
			}
		}
	}()
	last, since := 0, time.Now()
	return func() bool {
		if f.floods != last {
			last, since = f.floods, time.Now()
		}
		return last == pieces || last > 0 && time.Since(since) > 2*time.Second
	}
}

// TestStdioThousandCallsThatHang: so many are in flight together, and each gets
// its own answer.
func TestStdioThousandCallsThatHang(t *testing.T) {
	thorough(t)
	t.Parallel()
	const calls = 1000
	f, b := newBridged(t)
	b.initialize()
	for n := range calls {
		b.send(toolLine(fmt.Sprint(n), "hang"))
	}
	f.until("all calls are under way", func() bool { return len(f.executed) == calls })
	for n := range calls {
		f.release(fmt.Sprint(n))
	}
	for n := range calls {
		b.wantEcho(fmt.Sprint(n))
	}
	wantOneSession(t, f)
}

// TestStdioManyCallsLeaveNothing: after 20,000 calls the bridge has what it had
// after 2,000, when the collector has found its pace: descriptors, memory,
// goroutines.
func TestStdioManyCallsLeaveNothing(t *testing.T) {
	thorough(t)
	t.Parallel()
	few, many := leavings(t, 2_000), leavings(t, 20_000)
	t.Logf("after 2,000 calls %+v, after 20,000 %+v", few, many)
	if many.descriptors > few.descriptors+8 || many.goroutines > few.goroutines+8 || many.memory > few.memory+32<<20 {
		t.Errorf("after 2,000 calls there were %+v, after 20,000 %+v", few, many)
	}
}

// remains are what a bridge has after its calls.
type remains struct{ descriptors, goroutines, memory int }

// leavings makes calls, 20 at a time, and looks what the bridge has after them.
// The goroutines are those of the trace that a Go program ends with on SIGQUIT.
func leavings(t *testing.T, calls int) (r remains) {
	t.Helper()
	const atOnce = 20
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	b := f.bridge(bridging{token: lines, plain: true, any: true, env: []string{"GOTRACEBACK=all"}})
	b.initialize()
	f.until("the bridge listens", func() bool { return len(f.of("GET")) > 0 })
	for n := 0; n < calls; n += atOnce {
		for i := range atOnce {
			b.send(toolLine(fmt.Sprint(n+i), "echo"))
		}
		for i := range atOnce {
			b.wantEcho(fmt.Sprint(n + i))
		}
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.cmd.Process.Pid))
	if err != nil {
		absent(t, "counting the descriptors of a process that is sealed needs root: %v", err)
	}
	r.descriptors, r.memory = len(open), b.status("VmHWM")
	b.cmd.Process.Signal(syscall.SIGQUIT)
	b.end()
	r.goroutines = strings.Count(b.log.String(), "\ngoroutine ")
	if r.goroutines == 0 {
		t.Errorf("there is no trace in the log")
	}
	return r
}
