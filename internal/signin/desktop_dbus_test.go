//go:build !darwin && !windows

package signin

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// bus is a message bus with a notification service, as the D-Bus
// Specification has it. It serves one connection, and reports the bodies of
// the notifications that were asked for.
type bus struct {
	address string
	shown   chan []any
	left    chan struct{} // closed once the client has
}

// newBus starts a bus that stops to answer before the message of that name,
// if one is named.
func newBus(t *testing.T, silent string) *bus {
	t.Helper()
	b := &bus{shown: make(chan []any, 1), left: make(chan struct{})}
	// In a directory with a name that an address has to escape.
	dir := filepath.Join(t.TempDir(), "a,b;c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "bus")
	b.address = "unix:path=" + dbus.EscapeBusAddressValue(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); <-b.left })
	go func() {
		defer close(b.left)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b.serve(conn, silent)
	}()
	return b
}

func (b *bus) serve(conn net.Conn, silent string) {
	in := bufio.NewReader(conn)
	if nul, err := in.ReadByte(); err != nil || nul != 0 {
		return
	}
	for line := ""; line != "BEGIN"; {
		read, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(read)
		word, _, _ := strings.Cut(line, " ")
		answer := map[string]string{"AUTH": "OK 1234deadbeef", "NEGOTIATE_UNIX_FD": "ERROR"}[word]
		if line == "AUTH" {
			answer = "REJECTED EXTERNAL"
		}
		if word == silent {
			answer = ""
		}
		if answer != "" {
			conn.Write([]byte(answer + "\r\n"))
		}
	}
	for {
		asked, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		member, _ := asked.Headers[dbus.FieldMember].Value().(string)
		if member == silent {
			continue
		}
		reply := dbus.Message{
			Type:    dbus.TypeMethodReply,
			Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(asked.Serial())},
		}
		switch member {
		case "Hello":
			reply.Body = []any{":1.7"}
		case "Notify":
			reply.Body = []any{uint32(42)}
			b.shown <- asked.Body
		}
		if len(reply.Body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		}
		if err := reply.EncodeTo(conn, binary.LittleEndian); err != nil {
			return
		}
	}
}

func TestNotificationGoesThroughTheSessionsBus(t *testing.T) {
	b := newBus(t, "")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", b.address)
	show := Desktop()
	if show == nil {
		t.Fatal("no desktop")
	}
	show("Sign-in needed", "gateway needs a sign-in:\n az login <b>&amp;</b> \x1b[2J")
	want := []any{
		"injectproxy", uint32(0), "dialog-password", "Sign-in needed",
		"gateway needs a sign-in: az login &lt;b&gt;&amp;amp;&lt;/b&gt; [2J",
		[]string{}, map[string]dbus.Variant{}, int32(-1),
	}
	select {
	case got := <-b.shown:
		if !reflect.DeepEqual(got, want) {
			t.Errorf("asked for %#v, want %#v", got, want)
		}
	default:
		t.Error("nothing was asked for")
	}
}

func TestConnectionToTheBusIsNotKept(t *testing.T) {
	b := newBus(t, "")
	show := desktop(func(string) string { return b.address })
	if err := show(t.Context(), "title", "message"); err != nil {
		t.Error(err)
	}
	b.wantLeft(t)
}

func (b *bus) wantLeft(t *testing.T) {
	t.Helper()
	select {
	case <-b.left:
	case <-time.After(time.Minute):
		t.Error("the connection is still open")
	}
}

func TestBusThatDoesNotAnswerIsLeftInTime(t *testing.T) {
	for _, silent := range []string{"AUTH", "NEGOTIATE_UNIX_FD", "Hello", "Notify"} {
		t.Run(silent, func(t *testing.T) {
			b := newBus(t, silent)
			show := desktop(func(name string) string {
				return map[string]string{"DBUS_SESSION_BUS_ADDRESS": b.address}[name]
			})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- show(ctx, "title", "message") }()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("it is said to be shown")
				}
			case <-time.After(time.Minute):
				t.Fatal("it goes on after its context has ended")
			}
			b.wantLeft(t)
		})
	}
}

func TestBusIsLookedForWhereThereMayBeADesktop(t *testing.T) {
	without := t.TempDir()
	withBus := filepath.Join(without, "a,b;c")
	if err := os.Mkdir(withBus, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(withBus, "bus"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	there := "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(withBus, "bus"))
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"nothing":           {nil, ""},
		"named":             {map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:abstract=x"}, "unix:abstract=x"},
		"at its place":      {map[string]string{"XDG_RUNTIME_DIR": withBus, "DISPLAY": ":0"}, there},
		"Wayland":           {map[string]string{"XDG_RUNTIME_DIR": withBus, "WAYLAND_DISPLAY": "wayland-0"}, there},
		"no display":        {map[string]string{"XDG_RUNTIME_DIR": withBus}, ""},
		"display alone":     {map[string]string{"DISPLAY": ":0"}, ""},
		"no bus":            {map[string]string{"XDG_RUNTIME_DIR": without, "DISPLAY": ":0"}, ""},
		"named, no display": {map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:abstract=x", "XDG_RUNTIME_DIR": withBus}, "unix:abstract=x"},
	} {
		t.Run(name, func(t *testing.T) {
			getenv := func(name string) string { return tt.env[name] }
			if got := sessionBus(getenv); got != tt.want || (desktop(getenv) != nil) != (tt.want != "") {
				t.Errorf("the bus is %q, want %q", got, tt.want)
			}
		})
	}
}

// Where nothing listens, and nothing may be started.
func TestNotificationWithoutABusFails(t *testing.T) {
	t.Setenv("PATH", "")
	for _, address := range []string{"unix:path=" + filepath.Join(t.TempDir(), "none"), "autolaunch:", "unixexec:path=/bin/sh", "nonsense"} {
		show := desktop(func(name string) string {
			return map[string]string{"DBUS_SESSION_BUS_ADDRESS": address}[name]
		})
		if err := show(t.Context(), "title", "message"); err == nil {
			t.Errorf("%s: it is said to be shown", address)
		}
	}
}
