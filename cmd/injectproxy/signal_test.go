//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openThings are an event stream and a tunnel through the proxy: what serve has
// to wait for at its end.
type openThings struct {
	lines  *bufio.Scanner // of the stream
	finish func()         // ends the stream from the upstream's side
	tunnel net.Conn
	echo   func() error // sends a line through the tunnel and reads it back
}

func openBoth(t *testing.T, tables string) (*daemon, *openThings) {
	t.Helper()
	end := make(chan struct{})
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		if s.target != "/v1/stream" {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
		http.NewResponseController(w).Flush()
		<-end
		fmt.Fprint(w, "data: last\n\n")
	}, "api.example.test")
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		if c, err := echo.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	home := t.TempDir()
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority, "echo.example.test:7": echo.Addr().String()})
	settings{
		top:    fmt.Sprintf("upstream_proxy = %q\n%s", board.url(nil), tables),
		tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles,
	}.write(t, home)
	d := startDaemon(t, home, nil)

	things := &openThings{finish: func() { close(end) }}
	t.Cleanup(func() {
		select {
		case <-end:
		default:
			close(end)
		}
		echo.Close()
		<-echoed
	})
	res, err := d.client("h2", nil).Get("https://api.example.test/v1/stream")
	must(t, err)
	t.Cleanup(func() { res.Body.Close() })
	things.lines = bufio.NewScanner(res.Body)
	if !things.lines.Scan() || things.lines.Text() != "data: first" {
		t.Fatalf("the stream begins with %q", things.lines.Text())
	}
	things.tunnel, err = net.Dial("tcp", d.addr)
	must(t, err)
	t.Cleanup(func() { things.tunnel.Close() })
	things.tunnel.SetDeadline(time.Now().Add(guard))
	io.WriteString(things.tunnel, connectTo("echo.example.test:7"))
	r := bufio.NewReader(things.tunnel)
	answer, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	must(t, err)
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	things.echo = func() error {
		if _, err := io.WriteString(things.tunnel, "hello\n"); err != nil {
			return err
		}
		_, err := r.ReadString('\n')
		return err
	}
	must(t, things.echo())
	return d, things
}

func TestTermDrainsStreamsAndTunnelsAndEndsWell(t *testing.T) {
	t.Parallel()
	d, open := openBoth(t, `drain = "1h"`)
	d.signal(syscall.SIGTERM)
	d.log.wait(t, "msg=draining")
	d.untilRefused(t)
	must(t, open.echo()) // the tunnel is still there
	open.finish()
	rest := ""
	for open.lines.Scan() {
		rest += open.lines.Text()
	}
	if rest != "data: last" || open.lines.Err() != nil {
		t.Errorf("the stream ended with %q, %v", rest, open.lines.Err())
	}
	open.tunnel.Close()
	if status := d.stopped(); status != 0 || !strings.Contains(d.log.String(), "msg=stopped cut_off=false") {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}

// untilRefused returns once d accepts no more connections, which it does in
// its own time after it has said that it drains.
func (d *daemon) untilRefused(t *testing.T) {
	t.Helper()
	for late := time.Now().Add(guard); ; {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(late) {
			t.Fatal("new clients are accepted while draining")
		}
	}
}

func TestWhatIsOpenAfterTheDrainIsCutOff(t *testing.T) {
	t.Parallel()
	d, open := openBoth(t, `drain = "100ms"`)
	d.signal(os.Interrupt)
	if status := d.stopped(); status != 0 || !strings.Contains(d.log.String(), "msg=stopped cut_off=true") {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	for open.lines.Scan() {
	}
	if open.lines.Err() == nil {
		t.Error("a stream that was cut off looks as if it had ended")
	}
	if open.echo() == nil {
		t.Error("the tunnel outlived the proxy")
	}
}

// A second signal right behind the first is taken for the same one, so it is
// repeated until it counts.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	d, _ := openBoth(t, `drain = "1h"`)
	d.insist()
	if d.status != 1 || lineWith(d.log.String(), "error: ", "second signal") == "" {
		t.Errorf("exit status %d:\n%s", d.status, d.log)
	}
}

// insist has d end by a second signal.
func (d *daemon) insist() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	d.log.wait(d.t, "msg=draining")
	again := time.NewTicker(5 * echo) // a third, while it ends by the second, would kill it
	defer again.Stop()
	late := time.After(guard)
	for running := true; running; {
		select {
		case <-again.C:
			d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		case <-d.exited:
			running = false
		case <-late:
			d.t.Fatalf("serve does not end:\n%s", d.log)
		}
	}
}

func TestHangupKillsNothing(t *testing.T) {
	t.Parallel()
	d, open := openBoth(t, "")
	d.signal(syscall.SIGHUP)
	d.log.wait(t, "configuration reloaded")
	must(t, open.echo())
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	d.signal(syscall.SIGTERM)
	d.log.wait(t, "msg=draining")
	// Nor does it count as a second signal, beyond the time in which none does.
	again := time.NewTicker(30 * time.Millisecond)
	defer again.Stop()
	for range 6 {
		<-again.C
		d.signal(syscall.SIGHUP)
	}
	must(t, open.echo())
	open.finish()
	open.tunnel.Close()
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}
