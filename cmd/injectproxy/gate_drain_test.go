//go:build unix

package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// heldGate is a gate in this process, whose end a test decides.
type heldGate struct {
	addr    string
	log     *eventLog
	signals chan os.Signal
	ended   chan error
	retire  func()
}

// hold serves the gate of w with the given grace.
func (w *gateWorld) hold(grace time.Duration) *heldGate {
	w.t.Helper()
	cfg, problems := config.LoadGate(filepath.Join(w.home, "gate.toml"))
	if cfg == nil {
		w.t.Fatal(problems)
	}
	h := &heldGate{log: new(eventLog), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	log, err := telemetry.NewLogger(h.log, "debug", "text")
	must(w.t, err)
	g, err := buildGate(cfg, surroundings{log: log})
	must(w.t, err)
	g.grace, h.retire = grace, g.Retire
	l, err := net.Listen("tcp", cfg.Listen)
	must(w.t, err)
	h.addr = l.Addr().String()
	left := make(chan struct{})
	go func() {
		defer close(left)
		h.ended <- g.serve(l, &supervisor{log: log}, h.signals)
	}()
	w.t.Cleanup(func() {
		g.Shutdown(canceled()) // however the test ended
		<-left
	})
	w.ready(h.addr)
	return h
}

// end returns how serve ended.
func (h *heldGate) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(guard):
		t.Fatalf("the gate does not end:\n%s", h.log)
		return nil
	}
}

func TestGateThatIsToEndGoesOnWhileItSaysThatItIsNotReady(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "1h"`, "")
	h := w.hold(time.Hour)
	c := w.client(h.addr)
	s := connectGate(t, bearing(c, w.user("access_as_user")))
	h.signals <- syscall.SIGTERM
	h.log.wait(t, "msg=draining", "limit=2h0m0s")
	call(t, c, "GET", gateURL+"/readyz", nil).wantStatus(t, http.StatusServiceUnavailable)
	call(t, c, "GET", gateURL+"/healthz", nil).wantStatus(t, http.StatusOK)
	if got := says(t, s, "echo"); got != "served" {
		t.Errorf("in the session that was there: %s", got)
	}
	h1 := w.client(h.addr)
	h1.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	h1.Transport.(*http.Transport).Protocols = new(http.Protocols)
	h1.Transport.(*http.Transport).Protocols.SetHTTP1(true)
	res, err := h1.Get(gateURL + "/healthz")
	must(t, err)
	if res.Body.Close(); !res.Close {
		t.Error("a client is not told to connect anew")
	}
	another := connectGate(t, bearing(w.client(h.addr), w.user("access_as_user"))) // over a new connection
	if got := says(t, another, "echo"); got != "served" {
		t.Errorf("in a new session: %s", got)
	}

	h.signals <- syscall.SIGHUP // is no reason to hurry
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for err := error(nil); err == nil; { // the first may be taken for the echo of the one before
		select {
		case <-again.C:
			select {
			case h.signals <- syscall.SIGTERM:
			default:
			}
		case err = <-h.ended:
			if err == nil || !strings.Contains(err.Error(), "second signal") {
				t.Fatalf("the gate ended with %v", err)
			}
		}
	}
}

func TestGateThatIsInterruptedAtATerminalEndsWithoutGrace(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "1h"`, "")
	h := w.hold(time.Hour)
	h.signals <- os.Interrupt
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	h.log.wait(t, "msg=draining", "limit=1h0m0s")
}

// Who has been told to go waits for nobody but those who are being answered.
func TestGateThatEndsLetsCallsFinishAndEndsHeldStreams(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "1h"`, "")
	h := w.hold(0)
	c := bearing(w.client(h.addr), w.user("access_as_user"))
	s := connectGate(t, c)
	req := newGet(t, gateURL+"/mcp")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Mcp-Session-Id", s.ID())
	res, err := c.Do(req)
	must(t, err)
	defer res.Body.Close()

	answered := make(chan string, 1)
	go func() { answered <- says(t, s, "hold") }()
	<-w.held
	h.signals <- syscall.SIGTERM
	for lines := bufio.NewScanner(res.Body); lines.Scan(); { // until it ends
	}
	select {
	case err := <-h.ended:
		t.Fatalf("the gate ended before the call: %v", err)
	default:
	}
	w.letGo()
	if got := <-answered; got != "served" {
		t.Errorf("the call: %s", got)
	}
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	h.log.wait(t, "msg=stopped", "cut_off=false")
}

func TestGateCutsWhatIsLeftWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "10ms"`, "")
	h := w.hold(0)
	s := connectGate(t, bearing(w.client(h.addr), w.user("access_as_user")))
	answered := make(chan string, 1)
	go func() { answered <- says(t, s, "hold") }()
	<-w.held
	h.signals <- os.Interrupt
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	h.log.wait(t, "msg=stopped", "cut_off=true")
	if got := <-answered; !strings.HasPrefix(got, "error: ") {
		t.Errorf("the call that was cut: %s", got)
	}
}
