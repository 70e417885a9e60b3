package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors returns how many files d has open.
func (d *daemon) descriptors() int {
	d.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if errors.Is(err, fs.ErrPermission) {
		absent(d.t, "counting the descriptors of serve, which is sealed, needs root")
	}
	must(d.t, err)
	return len(open)
}

// mayOpen lets d open so many more files. A limit is one of numbers, of which
// the lowest that is free is given out.
func (d *daemon) mayOpen(more int) {
	d.t.Helper()
	n := 0
	for ; ; n++ {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", d.cmd.Process.Pid, n)); err == nil {
			continue
		}
		if more == 0 {
			break
		}
		more--
	}
	limit := unix.Rlimit{Cur: uint64(n), Max: uint64(n)}
	must(d.t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// processorTime returns how much of a processor d has used.
func (d *daemon) processorTime() time.Duration {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	must(d.t, err)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')'):]))
	var user, system int64
	_, err = fmt.Sscan(fields[12]+" "+fields[13], &user, &system)
	must(d.t, err)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// until returns once holds does.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for late := time.After(guard); !holds(); {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("it does not come to be that %s", what)
		}
	}
}

// A process that may open no more files takes nobody in, and says so. It does
// not spin, what is open goes on, and it takes clients in once it can.
func TestNoDescriptorsLeftStopsNothingThatIsOpen(t *testing.T) {
	t.Parallel()
	d, open := openBoth(t, "drain = \"1h\"\n"+anybody+"\n[log]\nlevel = \"debug\"")
	const spare = 4
	first := d.descriptors()
	d.mayOpen(spare)
	var crowd []net.Conn
	for range 10 * spare {
		c, err := net.Dial("tcp", d.addr)
		must(t, err)
		defer c.Close()
		crowd = append(crowd, c)
	}
	d.log.wait(t, "too many open files")
	before := d.processorTime()
	for range 300 {
		must(t, open.echo())
	}
	d.log.wait(t, "too many open files", "retrying in 640ms")
	if used := d.processorTime() - before; used > time.Second {
		t.Errorf("%v of a processor went by while nobody was served", used)
	}
	for _, c := range crowd {
		c.Close()
	}
	until(t, "descriptors are given back", func() bool { return d.descriptors() <= first })
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	must(t, open.echo())
	warnings := 0
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "too many open files") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("the log warns %d times that there are none left", warnings)
	}
	open.finish()
	rest, last := "", ""
	for open.lines.Scan() {
		rest, last = rest+last, open.lines.Text()
	}
	open.tunnel.Close()
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 || open.lines.Err() != nil {
		t.Errorf("exit status %d, stream %q: %v:\n%s", status, rest, open.lines.Err(), d.log)
	}
}

// A client that is in while no connection can be made for it is told why.
func TestNoDescriptorForAnUpstreamIsToldAsThat(t *testing.T) {
	t.Parallel()
	d, open := openBoth(t, anybody)
	c, err := net.Dial("tcp", d.addr)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(guard))
	io.WriteString(c, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")
	if r := answerOn(t, c); r.status != http.StatusMethodNotAllowed { // it is in
		t.Errorf("status %d", r.status)
	}
	d.mayOpen(0)
	io.WriteString(c, connectTo("echo.example.test:7"))
	p := answerOn(t, c).problem(t, http.StatusServiceUnavailable)
	if p.Type != "urn:injectproxy:problem:out-of-descriptors" || !strings.Contains(p.Detail, "open files") || p.Error != nil {
		t.Errorf("%+v", p)
	}
	must(t, open.echo())
}

// Telling whose process a client is takes a descriptor. Without one nothing is
// known against the client: it is not let in, and not asked for a password.
func TestNoDescriptorToTellTheClientByIsNoRefusal(t *testing.T) {
	t.Parallel()
	d, _ := openBoth(t, "")
	before := d.descriptors()
	c, err := net.Dial("tcp", d.addr)
	must(t, err)
	defer c.Close()
	other, err := net.Dial("tcp", d.addr)
	must(t, err)
	defer other.Close()
	c.SetDeadline(time.Now().Add(guard))
	until(t, "the clients are in", func() bool { return d.descriptors() == before+2 })
	d.mayOpen(0)
	const request = "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n"
	io.WriteString(c, request)
	if p := answerOn(t, c).problem(t, http.StatusServiceUnavailable); p.Type != "urn:injectproxy:problem:out-of-descriptors" || p.Error != nil {
		t.Errorf("%+v", p)
	}
	other.Close()
	until(t, "a descriptor is given back", func() bool { return d.descriptors() == before+1 })
	io.WriteString(c, request)
	if r := answerOn(t, c); r.status != http.StatusMethodNotAllowed { // it is in
		t.Errorf("once there is one: status %d", r.status)
	}
}

// anybody is admitted: telling whose process a client is takes a descriptor.
const anybody = "[access]\nmode = \"open\""

// answerOn reads one answer.
func answerOn(t testing.TB, c net.Conn) reply {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return reply{res.StatusCode, res.Header, string(body)}
}
