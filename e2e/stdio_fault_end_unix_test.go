//go:build unix

package e2e_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// soon is how long a bridge may take to end: ten times what it is meant to.
const soon = 10 * time.Second

// wantEnd waits for the bridge's end, which has to come soon and well.
func (b *bridged) wantEnd() {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(soon):
		b.t.Fatal("the bridge does not end")
	}
}

// endings are the ways in which a client leaves its bridge.
var endings = []struct {
	name string
	head []string // what starts the bridge
	end  func(b *bridged)
}{
	{"end of input", nil, func(b *bridged) { b.in.Close() }},
	{"SIGTERM", nil, func(b *bridged) { b.cmd.Process.Signal(syscall.SIGTERM) }},
	{"SIGINT", nil, func(b *bridged) { b.cmd.Process.Signal(syscall.SIGINT) }},
	{"two signals", nil, func(b *bridged) {
		b.cmd.Process.Signal(syscall.SIGTERM)
		b.cmd.Process.Signal(syscall.SIGTERM)
	}},
	// A shell takes the input of what it starts with & away: 3 keeps it. It is
	// held open by the test all along.
	{"death of the parent", []string{"sh", "-c", `exec 3<&0; "$@" <&3 & wait`, "sh"}, func(b *bridged) { b.cmd.Process.Kill() }},
}

// TestStdioEndsWithItsClient: however the client leaves, the bridge ends soon,
// with status 0, and the server is told once, in the session.
func TestStdioEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		for _, under := range []string{"", "hang"} {
			t.Run(e.name+" "+under, func(t *testing.T) {
				t.Parallel()
				token, _, lines := fileToken(t)
				f := newFaulty(t, token, http2too)
				b := f.bridge(bridging{token: lines, hidden: []string{token}, head: e.head, any: e.head != nil || e.name == "two signals"})
				b.initialize()
				f.until("the bridge listens", func() bool { return len(f.of("GET")) > 0 })
				b.ask("before")
				if under != "" {
					b.send(toolLine("under way", under))
					f.until("a call is under way", func() bool { return f.executed["under way"] > 0 })
				}
				e.end(b)
				b.wantEnd()
				if e.name != "two signals" {
					wantOneGoodbye(t, f)
				}
				if n := f.times("under way"); n > 1 {
					t.Errorf("the call under way was carried out %d times", n)
				}
			})
		}
	}
}

// wantOneGoodbye wants the session to have been ended once.
func wantOneGoodbye(t *testing.T, f *faulty) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	began, ended := f.of("initialize"), f.of("DELETE")
	if len(began) != 1 || len(ended) != 1 || ended[0].session != began[0].session || ended[0].status != 200 {
		t.Errorf("sessions began %+v and ended %+v", began, ended)
	}
}

// TestStdioLeavesNoChild: a program that is fetching a token when the bridge
// ends does not live on, nor does what it started.
func TestStdioLeavesNoChild(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		if e.name == "two signals" {
			continue // the second one is for those who want no order
		}
		for name, fetch := range map[string]func(t *testing.T, script string) bridging{"a command": fetchedByCommand, "az": fetchedByAz} {
			t.Run(e.name+" under "+name, func(t *testing.T) {
				t.Parallel()
				f := newFaulty(t, "no token comes", http2too)
				leash := newLeash(t)
				o := fetch(t, fmt.Sprintf(`exec 9>'%s'; (sleep 1000; true) & sleep 1000; true`, leash))
				o.head, o.any = e.head, e.head != nil
				b := f.bridge(o)
				b.send(initializeLine)
				alive := b.taken(leash)
				e.end(b)
				b.wantEnd()
				b.wantLetGo(alive, leash)
				if n := len(f.came()); n != 0 {
					t.Errorf("%d requests came without a token", n)
				}
			})
		}
	}
}

// fetchedByCommand has the token fetched by a script, and fetchedByAz by one
// that is called az.
func fetchedByCommand(_ *testing.T, script string) bridging {
	return bridging{token: fmt.Sprintf("token_command = [\"sh\", \"-c\", %q]", script)}
}

func fetchedByAz(t *testing.T, script string) bridging {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "az"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return bridging{
		token: fmt.Sprintf("client_id = %q\ntenant = %q\nsources = [\"az\"]", api, tenant),
		env:   []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "AZURE_CONFIG_DIR=" + bin},
	}
}

// newLeash returns a named pipe: who reads it sees when the last one has ended
// who has it open for writing.
func newLeash(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "leash")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// taken waits until somebody holds the leash, and returns its other end.
func (b *bridged) taken(leash string) *os.File {
	b.t.Helper()
	opened := make(chan *os.File, 1)
	go func() {
		f, err := os.Open(leash) // waits for who writes
		if err != nil {
			b.t.Error(err)
		}
		opened <- f
	}()
	select {
	case f := <-opened:
		return f
	case <-b.ended:
	case <-time.After(guardTime):
	}
	if f, err := os.OpenFile(leash, os.O_RDWR, 0); err == nil {
		(<-opened).Close()
		f.Close()
	}
	b.t.Fatal("what fetches the token does not run")
	return nil
}

// wantLetGo wants the last one to have ended who held the leash, whose other
// end is alive.
func (b *bridged) wantLetGo(alive *os.File, leash string) {
	b.t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer alive.Close()
		io.Copy(io.Discard, alive)
	}()
	select {
	case <-gone:
	case <-time.After(soon):
		b.t.Error("what fetches the token lives on")
		endHolders(leash)
		<-gone
	}
}

// endHolders kills who holds the leash, as far as there is a way to know them.
func endHolders(leash string) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/9")
	for _, l := range links {
		if to, _ := os.Readlink(l); to == leash {
			var pid int
			fmt.Sscanf(l, "/proc/%d/", &pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
