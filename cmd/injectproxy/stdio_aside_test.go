package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What nobody reads holds nobody up, and how much was lost is said as soon as
// somebody reads.
func TestStandardErrorOfABridgeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	a := newAside(w)
	line := strings.Repeat("x", 1023) + "\n"
	const n = 1000
	for range n {
		if _, err := io.WriteString(a, line); err != nil {
			t.Fatal(err)
		}
	}
	a.close(0) // nobody reads
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		read <- string(b)
	}()
	<-a.done
	w.Close()
	text := <-read
	kept, lost := strings.Count(text, line), 0
	for _, m := range linesLost.FindAllStringSubmatch(text, -1) { // more than one, if the first was written in time
		k, _ := strconv.Atoi(m[1])
		lost += k
	}
	if kept+lost != n || kept < mostAside>>10 || lost == 0 {
		t.Errorf("of %d lines there are %d, and of the others %q", n, kept, strings.ReplaceAll(text, line, ""))
	}
}

var linesLost = regexp.MustCompile(`(?m)^injectproxy: (\d+) lines were lost here`)

func TestErrorOfABridgeIsToldAsideWithItsStatus(t *testing.T) {
	t.Parallel()
	var text eventLog
	a := newAside(&text)
	err := a.told(&failure{status: exitUsage, err: errors.New("it broke"), hint: "mend it"})
	f, ok := errors.AsType[*failure](err)
	if !ok || f.status != exitUsage || f.err != nil || a.told(nil) != nil {
		t.Errorf("%#v", err)
	}
	a.close(time.Minute)
	if text.String() != "error: it broke\nhint: mend it\n" {
		t.Errorf("%q", text.String())
	}
}

// A client that opens our standard error and never reads it is served as long
// as it likes, and ends us as it ends every other.
func TestStdioNeedsNobodyToReadItsStandardError(t *testing.T) {
	t.Parallel()
	m := newRemote(t, tokenA)
	p := newPiped(t, m.ruled(t, ""), nil, "--log-level", "debug", m.url)
	unread, w, err := os.Pipe()
	must(t, err)
	defer unread.Close()
	p.cmd.Stderr = w
	p.start()
	w.Close()
	p.begin()
	const pipe = 64 << 10 // what fits into one that is not read
	for i := range 2 * pipe / 200 {
		p.call(fmt.Sprint(i+1), "echo")
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	m.ended(t)
}
