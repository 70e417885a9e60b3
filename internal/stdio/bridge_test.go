package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// hang is how long a test waits for what must come.
const hang = 30 * time.Second

// fake is an upstream that does as it is told. It answers every request with
// the name of its method, if it is told nothing.
type fake struct {
	deliver func(raw []byte, on *call) error
	asking  func(ctx context.Context, f *fake, c *call) error
	telling func(ctx context.Context, f *fake, m message) error
	hearing func(ctx context.Context, f *fake)

	mu   sync.Mutex
	seen []string // methods, in the order in which they came; "response ID" for responses
	raw  []string
	ends int
	busy int
}

func (f *fake) note(m message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	said := m.Method
	if m.Kind == jsonrpc.Response {
		said = "response " + string(m.ID)
	}
	f.seen, f.raw = append(f.seen, said), append(f.raw, string(m.raw))
}

// saw returns what came so far.
func (f *fake) saw() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

func (f *fake) under(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy += n
	return f.busy
}

func (f *fake) ask(ctx context.Context, c *call) error {
	f.under(1)
	defer f.under(-1)
	f.note(c.message)
	if f.asking != nil {
		return f.asking(ctx, f, c)
	}
	c.left()
	return f.answer(c)
}

// answer delivers the response that every request gets.
func (f *fake) answer(c *call) error {
	return f.deliver(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"did":%q}}`, c.ID, c.Method), c)
}

func (f *fake) tell(ctx context.Context, m message) error {
	f.under(1)
	defer f.under(-1)
	f.note(m)
	if f.telling != nil {
		return f.telling(ctx, f, m)
	}
	return nil
}

func (f *fake) listen(ctx context.Context) {
	f.under(1)
	defer f.under(-1)
	f.note(message{Message: jsonrpc.Message{Method: "(listen)"}})
	if f.hearing != nil {
		f.hearing(ctx, f)
		return
	}
	<-ctx.Done()
}

func (f *fake) end(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy > 0 || ctx.Err() != nil {
		f.ends += 1000 // somebody is still at it, or nothing can be sent
	}
	f.ends++
	return nil
}

// client is who has started the bridge.
type client struct {
	t     *testing.T
	b     *Bridge
	in    *io.PipeWriter
	out   *bufio.Reader
	close func() // its end of the output
	stop  context.CancelFunc
	ended chan error
}

// bridged runs a bridge over f until the test ends.
func bridged(t *testing.T, f *fake, o Options) *client {
	t.Helper()
	b := newBridge(o, func(b *Bridge) upstream { f.deliver = b.deliver; return f })
	return run(t, b)
}

func run(t *testing.T, b *Bridge) *client {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	c := &client{t: t, b: b, in: inW, out: bufio.NewReaderSize(outR, 1<<20), close: func() { outR.Close() }, stop: stop, ended: make(chan error, 1)}
	go func() {
		err := b.Run(ctx, inR, outW)
		outW.Close()
		inR.Close()
		c.ended <- err
		close(c.ended)
	}()
	t.Cleanup(func() {
		stop()
		inW.Close()
		outR.Close()
		<-c.ended
	})
	return c
}

// say writes lines.
func (c *client) say(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(c.in, line+"\n"); err != nil {
			c.t.Errorf("the bridge reads no more: %v", err)
		}
	}
}

// hear returns the next message.
func (c *client) hear() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the bridge says no more: %q, %v", line, err)
	}
	if !json.Valid([]byte(line)) {
		c.t.Errorf("not JSON: %q", line)
	}
	return strings.TrimSuffix(line, "\n")
}

// hears wants the next messages to be these.
func (c *client) hears(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.hear(); got != w {
			c.t.Errorf("heard\n  %s, want\n  %s", got, w)
		}
	}
}

// end closes the input and returns what else the bridge says until it has ended.
func (c *client) end() (rest []string, err error) {
	c.t.Helper()
	c.in.Close()
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			return rest, <-c.ended
		}
		rest = append(rest, strings.TrimSuffix(line, "\n"))
	}
}

func did(id, method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"did":%q}}`, id, method)
}

func ask(id, method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
}

const (
	begin     = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`
	begun     = `{"jsonrpc":"2.0","id":0,"result":{"did":"initialize"}}`
	saidBegun = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)
