package source

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/token"
)

// canary stands for a secret: no error may show it.
const canary = "CANARY-s3cr3t-5f2e"

// actor makes the test binary play a credential command.
const actor = "SOURCE_TEST_ACTOR"

// quick has an actor with the race detector not wait a second at its end.
const quick = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch os.Getenv(actor) {
	case "":
	case "tool":
		playTool(os.Args[1:])
		return
	default:
		act(os.Args[1:])
		return
	}
	if err := flag.Set("test.parallel", "8"); err != nil { // most of what tests do is wait; -parallel has the last word
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func act(args []string) {
	switch args[0] {
	case "print":
		fmt.Print(args[1])
	case "stdin":
		in, err := io.ReadAll(os.Stdin)
		fmt.Printf("stdin-%d-%v", len(in), err)
	case "variable":
		fmt.Print(os.Getenv(args[1]))
	case "chatty": // more on standard error than anybody keeps
		fmt.Fprint(os.Stderr, strings.Repeat(canary, 10_000))
		fmt.Print(args[1])
	case "fail": // exit status, standard error
		fmt.Print(canary)
		fmt.Fprint(os.Stderr, args[2])
		n, _ := strconv.Atoi(args[1])
		os.Exit(n)
	case "flood":
		for {
			if _, err := fmt.Println(canary); err != nil {
				os.Exit(1)
			}
		}
	case "wrap": // hangs, and so does what it starts
		start("hang", args[1])
		hang(args[1])
	case "leave": // succeeds, and leaves a process that holds its output
		start("hang", args[1])
		fmt.Print("left")
	case "hang":
		hang(args[1])
	case "browse": // certificate authority, page
		browse(args[2], args[1])
	case "sign in":
		signInElsewhere(args[1], args[2], args[3], args[4])
	}
}

func start(args ...string) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// hang reports to address and waits until the other side goes.
func hang(address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(c, "here")
	io.Copy(io.Discard, c)
}

// witness sees processes that hang come and go.
type witness struct {
	t *testing.T
	l net.Listener
}

func newWitness(t *testing.T) *witness {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &witness{t, l}
}

func (w *witness) address() string { return w.l.Addr().String() }

// meet waits for a process.
func (w *witness) meet() net.Conn {
	w.t.Helper()
	w.l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	c, err := w.l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// part waits until the process behind c is gone: its system closes the
// connection then.
func (w *witness) part(c net.Conn) {
	w.t.Helper()
	_, err := c.Read(make([]byte, 1))
	if ne, ok := errors.AsType[net.Error](err); err == nil || ok && ne.Timeout() {
		w.t.Fatalf("the process lives on (%v)", err)
	}
}

// wantError checks that err is a token.Error of class, with a hint, that
// shows no canary. It returns it.
func wantError(t *testing.T, err error, class token.Class) *token.Error {
	t.Helper()
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		t.Fatalf("got error %v, want a *token.Error", err)
	}
	if e.Class != class {
		t.Errorf("got class %q (%v), want %q", e.Class, e, class)
	}
	if e.Hint == "" {
		t.Errorf("%v: no hint", e)
	}
	if strings.Contains(e.Hint, "{") {
		t.Errorf("hint %q has a hole", e.Hint)
	}
	if all := fmt.Sprintf("%v %+v %#v %v %s", err, err, e, errors.Unwrap(e), e.Hint); strings.Contains(all, canary) {
		t.Errorf("the error shows a secret: %s", all)
	}
	return e
}

// jwt returns an unsigned JWT with that payload.
func jwt(payload string) string {
	return "eyJhbGciOiJub25lIn0." + encode(payload) + ".c2ln"
}
