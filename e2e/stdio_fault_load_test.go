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
	const size, atOnce, rounds = 10_000_000, 4, 2
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	large := make(chan []byte, atOnce*rounds)
	b := f.bridge(bridging{token: lines, hidden: []string{token}, large: large, plain: true})
	b.initialize()
	for round := range rounds {
		want := map[string]bool{}
		for n := range atOnce {
			id, text := fmt.Sprintf("%d-%d", round, n), strings.Repeat(string(rune('a'+n)), size)
			b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"%s","method":"tools/call","params":{"name":"echo","arguments":{"key":"%s","text":"%s"}}}`, id, id, text))
			want[answerLine(`"`+id+`"`, text)] = true
		}
		for range atOnce {
			line, err := receive(large)
			if err != nil {
				t.Fatal(err)
			}
			if !want[string(line)] {
				t.Errorf("a line of %d bytes is no answer that is missing: %.100q", len(line), line)
			}
			delete(want, string(line))
		}
	}
	// Each of the calls is there once as a line and once on its way, and its
	// answer likewise, in buffers that grew by doubling: 8 sizes for each.
	b.wantPeak(64<<20 + 8*atOnce*size)
}

// answerLine is the line by which echo is answered.
func answerLine(id, text string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":"` + text + "\"}]}}\n"
}

// TestStdioThousandCallsAtOnceAndAReaderWhoWaits: so many calls reach the server
// while nobody reads what the bridge writes. Then all are answered, once each.
func TestStdioThousandCallsAtOnceAndAReaderWhoWaits(t *testing.T) {
	thorough(t)
	t.Parallel()
	const calls, size = 1000, 64 << 10
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	slow, large := make(chan struct{}), make(chan []byte, 2*calls)
	b := f.bridge(bridging{token: lines, hidden: []string{token}, slow: slow, large: large, plain: true})
	b.send(initializeLine, initializedLine)
	for n := range calls {
		b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"size","arguments":{"key":"%d","size":%d}}}`, n, n, size))
	}
	f.until("all calls were carried out", func() bool { return len(f.executed) == calls })
	close(slow)
	text, answered := strings.Repeat("x", size), map[int]bool{}
	for range calls {
		line, err := receive(large)
		if err != nil {
			t.Fatal(err)
		}
		n := -1
		fmt.Sscanf(string(line[:40]), `{"jsonrpc":"2.0","id":%d,`, &n)
		if answered[n] || string(line) != answerLine(fmt.Sprint(n), text) {
			t.Fatalf("a line of %d bytes is no answer that is missing: %.100q", len(line), line)
		}
		answered[n] = true
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
	slow, large := make(chan struct{}), make(chan []byte)
	b := f.bridge(bridging{token: lines, hidden: []string{token}, slow: slow, large: large, plain: true})
	b.send(initializeLine, initializedLine)
	b.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"flood","arguments":{"key":"%d","size":%d}}}`, pieces, size))
	f.until("the server is held up, or has said all", f.heldUp(pieces))
	close(slow)
	for n := range pieces {
		line, err := receive(large)
		if err != nil {
			t.Fatal(err)
		}
		if string(line) != flooded(n, size)+"\n" {
			t.Fatalf("piece %d is %.100q", n, line)
		}
	}
	b.await("1")
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

// TestStdioManyCallsLeaveNothing: after 10,000 calls the bridge has what it had
// after 2,000, when the collector has found its pace: descriptors, memory,
// goroutines.
func TestStdioManyCallsLeaveNothing(t *testing.T) {
	thorough(t)
	t.Parallel()
	few, many := leavings(t, 2_000), leavings(t, 10_000)
	t.Logf("after 2,000 calls %+v, after 10,000 %+v", few, many)
	if many.descriptors > few.descriptors+8 || many.goroutines > few.goroutines+8 || many.memory > few.memory+32<<20 {
		t.Errorf("after 2,000 calls there were %+v, after 10,000 %+v", few, many)
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
