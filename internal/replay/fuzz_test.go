package replay

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// What the model's bodies hold at most.
const mostModelled = 256 << 10

var letters = bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), mostModelled/40)

var errGone = errors.New("the client is gone")

// client is a request's body whose bytes come when the model sends them.
type client struct {
	mu      sync.Mutex
	wake    *sync.Cond
	sent    int   // bytes that may be read
	read    int   // of those
	err     error // behind them
	told    bool  // err was read
	joined  bool  // err comes with the last bytes
	reading bool
	bare    bool // whoever reads it is no spool, and may do so behind the end
	closed  chan struct{}
	wrong   error // what a reader did that it must not
}

func newClient(joined bool) *client {
	c := &client{joined: joined, closed: make(chan struct{})}
	c.wake = sync.NewCond(&c.mu)
	return c
}

func (c *client) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading {
		c.wrong = errors.New("two reads at once")
	}
	c.reading = true
	defer func() { c.reading = false }()
	for c.read == c.sent && c.err == nil && !c.isClosed() {
		c.wake.Wait()
	}
	switch {
	case c.told && !c.bare:
		c.wrong = errors.New("a read behind the end")
	case c.isClosed():
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, letters[c.read:c.sent])
	c.read += n
	if c.read == c.sent && (n == 0 || c.joined) {
		c.told = c.err != nil
		return n, c.err
	}
	return n, nil
}

func (c *client) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed() {
		c.wrong = errors.New("closed twice")
		return nil
	}
	close(c.closed)
	c.wake.Broadcast()
	return nil
}

// send makes n more bytes readable, the last ones if err is given.
func (c *client) send(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.sent, c.err = c.sent+n, err
	}
	c.wake.Broadcast()
}

func (c *client) misused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// try is one attempt to send a modelled body.
type try struct {
	body io.ReadCloser
	got  int           // bytes that it was given
	late chan struct{} // closed when the read under way is done; nil without one
	over bool          // another attempt began, or this one was closed
}

// modelled is a body together with what must be true of it.
type modelled struct {
	t        *testing.T
	client   *client
	body     *Body
	req      *http.Request
	length   int // of the whole body, if it does not break off
	limit    int64
	halted   bool
	finished bool
	tries    []*try
}

func newModelled(t *testing.T, length int, limit int64, declared, joined bool, memory *Budget) *modelled {
	m := &modelled{t: t, client: newClient(joined), length: length, limit: limit}
	m.req = &http.Request{Header: http.Header{}, Body: m.client, ContentLength: -1}
	if declared && length > 0 {
		m.req.ContentLength = int64(length)
	}
	m.body = Hold(m.req, limit, memory)
	m.attempt()
	return m
}

func (m *modelled) newest() *try { return m.tries[len(m.tries)-1] }

// attempt begins one more, by Attempt or in net/http's way, by GetBody.
func (m *modelled) attempt() {
	if m.finished {
		return
	}
	if m.body.spool == nil {
		m.unheld()
		return
	}
	req, err := m.body.Attempt()
	m.begin(req, err)
}

// unheld checks a body that is larger than it may be: it goes once, as it is.
func (m *modelled) unheld() {
	req, err := m.body.Attempt()
	if err != nil || req != m.req || m.req.ContentLength <= m.limit || m.body.Flaw() != ErrTooLarge {
		m.t.Fatalf("%d declared bytes are not held: %v, %v", m.req.ContentLength, err, m.body.Flaw())
	}
	if len(m.tries) == 0 {
		m.client.bare, m.tries = true, []*try{{body: req.Body}}
	}
}

func (m *modelled) getBody() {
	if m.body.spool == nil {
		return
	}
	body, err := m.body.spool.open()
	m.begin(&http.Request{Body: body}, err)
}

// begin takes down an attempt that was made, or judges why it was not.
func (m *modelled) begin(req *http.Request, err error) {
	if err != nil {
		if len(m.tries) == 0 || m.body.Flaw() == nil && !m.finished {
			m.t.Fatalf("no attempt can be made: %v", err)
		}
		return
	}
	if len(m.tries) > 0 {
		m.newest().over = true
		m.settle(m.newest())
	}
	m.tries = append(m.tries, &try{body: req.Body})
	m.halted = false
}

// read has a try read n bytes. It returns without them if they have not come.
func (m *modelled) read(a *try, n int) {
	if a.late != nil {
		select {
		case <-a.late:
			a.late = nil
		default:
			return // one read at a time
		}
	}
	over := a.over
	p := make([]byte, n)
	var k int
	var err error
	done := make(chan struct{})
	go func() { k, err = a.body.Read(p); close(done) }()
	a.late = make(chan struct{})
	wait := func() {
		<-done
		m.judge(a, p[:k], err, over)
	}
	m.client.mu.Lock()
	mayWait := m.client.read == m.client.sent && m.client.err == nil || m.halted
	m.client.mu.Unlock()
	late := a.late
	if mayWait && !over {
		go func() { wait(); close(late) }()
		return
	}
	wait()
	a.late = nil
}

// settle waits for the read of an attempt whose reads must end.
func (m *modelled) settle(a *try) {
	if a.late == nil {
		return
	}
	guard := time.AfterFunc(30*time.Second, func() { panic("a read of an attempt that is over does not return") })
	<-a.late
	guard.Stop()
	a.late = nil
}

// judge holds what a read yielded against what the client sent.
func (m *modelled) judge(a *try, got []byte, err error, over bool) {
	if over && m.body.spool != nil && len(got) > 0 {
		m.t.Errorf("an attempt that is over was given %d bytes", len(got))
	}
	if !bytes.Equal(got, letters[a.got:a.got+len(got)]) {
		m.t.Errorf("bytes %d to %d of the body are others", a.got, a.got+len(got))
	}
	a.got += len(got)
	m.client.mu.Lock()
	defer m.client.mu.Unlock()
	switch {
	case a.got > m.client.read:
		m.t.Errorf("%d bytes of %d that came", a.got, m.client.read)
	case err == io.EOF && (m.client.err != io.EOF || a.got != m.client.sent):
		m.t.Errorf("the body ends behind %d of %d bytes", a.got, m.client.sent)
	case errors.Is(err, errGone) && m.client.err != errGone:
		m.t.Errorf("the body breaks off behind %d bytes, and did not", a.got)
	}
}

// whole checks that a body is called whole only if it is.
func (m *modelled) whole(most int64) {
	data, ok := m.body.Whole(most)
	if !ok {
		return
	}
	m.client.mu.Lock()
	defer m.client.mu.Unlock()
	if m.finished || m.client.read != m.client.sent || m.client.sent != m.length || int64(len(data)) > most || !bytes.Equal(data, letters[:m.length]) {
		m.t.Errorf("%d bytes of %d are the whole body (%d were sent)", len(data), m.length, m.client.sent)
	}
}

// flaw checks that a body which can be held is, and the reason if not.
func (m *modelled) flaw(room bool) {
	why := m.body.Flaw()
	m.client.mu.Lock()
	defer m.client.mu.Unlock()
	switch {
	case why == ErrBroken && m.client.err != errGone && !m.client.isClosed(),
		why == ErrTooLarge && int64(max(m.client.read, int(m.req.ContentLength))) <= m.limit,
		why == ErrNoRoom && room,
		why != nil && why != ErrBroken && why != ErrTooLarge && why != ErrNoRoom:
		m.t.Errorf("%d bytes came, %d may be held, room %v: %v", m.client.read, m.limit, room, why)
	}
}

func (m *modelled) send(n int, broken bool) {
	m.client.mu.Lock()
	rest := m.length - m.client.sent
	m.client.mu.Unlock()
	switch {
	case broken && rest > 0:
		m.client.send(0, errGone)
	case n >= rest:
		m.client.send(rest, io.EOF)
	default:
		m.client.send(n, nil)
	}
}

func (m *modelled) finish() {
	if !m.finished {
		m.finished = true
		m.body.Finish()
	}
}

// discard ends the newest attempt as one that was answered.
func (m *modelled) discard() {
	a := m.newest()
	if m.body.spool == nil || a.late != nil || m.finished {
		return // none is discarded behind the last one
	}
	m.body.Discard(&http.Response{ProtoMajor: 2, Body: http.NoBody})
	a.over = true
}

func (m *modelled) close(a *try) {
	if a.over && m.body.spool == nil {
		return // it is the client's body itself
	}
	a.over = true
	a.body.Close()
}

// end finishes the body, closes what is open and waits for the client's close.
func (m *modelled) end() {
	m.finish()
	for _, a := range m.tries {
		m.close(a)
		m.settle(a)
	}
	guard := time.AfterFunc(30*time.Second, func() { panic("the client's body is never closed") })
	<-m.client.closed
	guard.Stop()
	if err := m.client.misused(); err != nil {
		m.t.Errorf("the client's body: %v", err)
	}
}

// FuzzBody has two clients send bodies that share a budget, while each is
// attempted, read, halted, closed and finished in any order that the callers
// may take. What an attempt reads is what its client sent, from the first byte
// on; a body is whole only if it is; the budget is kept, and is free at the
// end.
func FuzzBody(f *testing.F) {
	for _, c := range operations {
		f.Add(c.length, c.limit, c.memory, c.kind, []byte(c.ops))
	}
	f.Fuzz(func(t *testing.T, length, limit, memory uint32, kind byte, ops []byte) {
		if len(ops) > 200 {
			t.Skip("long enough")
		}
		budget := NewBudget(int64(memory % (2 * mostModelled)))
		size := int(length % mostModelled)
		// Two bodies, in chunks that double, and one chunk of each that has
		// more room than it is filled.
		room := budget.limit >= 2*(int64(size)+2*chunkSize)
		var bodies [2]*modelled
		for i := range bodies {
			bodies[i] = newModelled(t, size, int64(limit%mostModelled), kind&(1<<i) != 0, kind&(4<<i) != 0, budget)
		}
		for len(ops) > 0 {
			var n byte
			op := ops[0]
			if ops = ops[1:]; len(ops) > 0 {
				n, ops = ops[0], ops[1:]
			}
			bodies[op>>7].do(op&0x7f, int(n), room)
			if held := budget.Held(); held < 0 || held > budget.limit {
				t.Fatalf("%d bytes are held, of %d", held, budget.limit)
			}
		}
		for _, m := range bodies {
			m.end()
		}
		if held := budget.Held(); held != 0 {
			t.Fatalf("%d bytes are held at the end", held)
		}
	})
}

// do does one of the operations; n says how much.
func (m *modelled) do(op byte, n int, room bool) {
	switch op % 10 {
	case 0:
		m.read(m.newest(), 1+n*n)
	case 1:
		m.send(n*n, false)
	case 2:
		m.attempt()
	case 3:
		m.getBody()
	case 4:
		m.halted = m.halted || !m.finished && m.body.spool != nil
		if !m.finished {
			m.body.Halt()
		}
	case 5:
		m.whole(int64(n * n * 4))
	case 6:
		m.close(m.tries[n%len(m.tries)])
	case 7:
		m.discard()
	case 8:
		m.read(m.tries[n%len(m.tries)], 1+n)
	case 9:
		if n < 200 {
			m.flaw(room)
		} else if n < 240 {
			m.send(0, true)
		} else {
			m.finish()
			m.halted = false
		}
	}
}

// operations are what a route does with bodies, and what goes wrong with them.
var operations = map[string]struct {
	length, limit, memory uint32
	kind                  byte
	ops                   string
}{
	"sent and accepted":         {1000, 8000, 400_000, 0, "\x01\xff\x00\xff\x00\xff\x09\xff"},
	"refused and sent again":    {1000, 8000, 400_000, 3, "\x01\xff\x00\xff\x04\x00\x09\x00\x07\x00\x05\xff\x02\x00\x00\xff\x00\xff\x09\xff"},
	"refused while it is sent":  {90_000, 100_000, 400_000, 0, "\x01\x40\x00\xff\x04\x00\x07\x00\x02\x00\x00\xff\x01\xff\x00\xff\x01\xff\x00\xff\x09\xff\x00\xff"},
	"too large as it is sent":   {90_000, 8000, 400_000, 0, "\x01\xff\x00\xff\x00\xff\x09\x00\x02\x00\x00\xff\x09\xff"},
	"too large as it says":      {90_000, 8000, 400_000, 3, "\x01\xff\x00\xff\x02\x00\x00\xff\x09\xff"},
	"no room":                   {90_000, 100_000, 5000, 0, "\x01\xff\x00\xff\x00\xff\x81\xff\x80\xff\x80\xff\x09\x00\x89\x00"},
	"the client breaks off":     {1000, 8000, 400_000, 4, "\x01\x10\x00\xff\x00\xff\x09\xc8\x09\x00\x02\x00\x00\xff"},
	"a silent client":           {1000, 8000, 400_000, 12, "\x00\xff\x03\x00\x00\xff\x02\x00\x01\xff\x00\xff\x06\x00\x08\x00"},
	"net/http's own retry":      {50_000, 100_000, 400_000, 1, "\x01\x80\x00\xff\x06\x00\x03\x00\x00\xff\x01\xff\x00\xff\x05\xff"},
	"finished before it is due": {50_000, 100_000, 400_000, 0, "\x01\x80\x00\x20\x09\xff\x00\xff\x03\x00\x00\xff\x01\xff\x00\xff"},
}
