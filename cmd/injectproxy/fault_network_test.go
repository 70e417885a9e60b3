package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// networkFault is what a network does to connections.
type networkFault struct {
	name  string
	begin func(*faultyLine) // before there is a connection; nil does nothing
	amid  func(*faultyLine) // in the middle of each body, from a half of it on; nil does nothing

	whole              bool // it costs time and nothing else
	uploads, downloads bool // it harms these alone
	silent             bool // nothing is heard, not even an end
}

// What is slow is not broken; what is cut is, wherever that happens: in a
// handshake, in a request, or in an answer.
var networkFaults = []networkFault{
	{name: "latency", whole: true, begin: func(f *faultyLine) { f.set(&toxics.LatencyToxic{Latency: 10, Jitter: 5}, towards, back) }},
	{name: "bandwidth", whole: true, begin: func(f *faultyLine) { f.set(&toxics.BandwidthToxic{Rate: 8 << 10}, towards, back) }},
	{name: "slicer", whole: true, begin: func(f *faultyLine) { f.set(&toxics.SlicerToxic{AverageSize: 900, SizeVariation: 400}, towards, back) }},
	{name: "slow close", whole: true, begin: func(f *faultyLine) { f.set(&toxics.SlowCloseToxic{Delay: 50}, towards, back) }},
	{name: "reset at once", begin: func(f *faultyLine) { f.set(new(toxics.ResetToxic), towards) }},
	{name: "reset in the handshake", begin: func(f *faultyLine) { f.set(new(toxics.ResetToxic), back) }},
	{name: "silence from the start", silent: true, begin: func(f *faultyLine) { f.set(new(toxics.TimeoutToxic), towards, back) }},
	{name: "end in the handshake", begin: func(f *faultyLine) { f.set(&toxics.LimitDataToxic{Bytes: 300}, back) }},
	{name: "end in the upload", uploads: true, begin: func(f *faultyLine) { f.set(&toxics.LimitDataToxic{Bytes: half / 2}, towards) }},
	{name: "end in the middle of an upload", uploads: true, amid: func(f *faultyLine) { f.infect(&toxics.LimitDataToxic{Bytes: 3000}, towards) }},
	{name: "end in the middle of an answer", downloads: true, amid: func(f *faultyLine) { f.infect(&toxics.LimitDataToxic{Bytes: 3000}, back) }},
	{name: "reset in the middle of an upload", uploads: true, amid: func(f *faultyLine) { f.infect(new(toxics.ResetToxic), towards) }},
	{name: "reset in the middle of an answer", amid: func(f *faultyLine) { f.infect(new(toxics.ResetToxic), back) }},
}

// job is something that a client does, and has done only if it gets want.
type job struct {
	name, method, path string
	body               []byte // nil for none
	declared           bool   // the body's length
	want               string
}

// upload is a body of which the second half is not sent before it may be.
type upload struct {
	first, second *bytes.Reader
	may           <-chan struct{}
	once          sync.Once
	over          chan struct{}
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	if n, err := u.first.Read(p); err == nil {
		return n, nil
	}
	if u.second.Len() == int(u.second.Size()) {
		select {
		case <-u.may:
		case <-u.over:
			return 0, net.ErrClosed
		}
	}
	return u.second.Read(p)
}

// Close implements [io.Closer].
func (u *upload) Close() error {
	u.once.Do(func() { close(u.over) })
	return nil
}

// half is where a fault comes in the middle of a body.
const (
	half         = 100 << 10
	eventsOfAJob = 20
)

func jobs() []job {
	text, sum := payload(2 * half)
	events := &bytes.Buffer{}
	for i := range eventsOfAJob {
		fmt.Fprintf(events, "data: %d %s\n\n", i, strings.Repeat("x", 1000))
	}
	return []job{
		{"download", "GET", "/v1/length", nil, false, string(text)},
		{"download of unknown length", "GET", "/v1/chunked", nil, false, string(text)},
		{"upload", "POST", "/v1/digest", text, true, sum},
		{"upload of unknown length", "POST", "/v1/digest", text, false, sum},
		{"event stream", "GET", "/v1/events", nil, false, events.String()},
	}
}

// faultyWorld is an upstream, to which or to whose proxy a line leads that has
// a fault.
type faultyWorld struct {
	line  *faultyLine
	root  string // URL of the upstream
	b     *testbed
	fault networkFault
	rest  chan struct{} // receives when the second half of an upload may be sent

	mu   sync.Mutex
	seen map[string]int // by job, how often the upstream got it
}

// newFaultyWorld returns one where the line is on the way to the upstream
// itself, or to the proxy before it.
func newFaultyWorld(t *testing.T, upstream string, viaProxy bool, fault networkFault) *faultyWorld {
	t.Helper()
	w := &faultyWorld{fault: fault, seen: map[string]int{}}
	live := newLive(t, upstream, w.answer)
	host, port, err := net.SplitHostPort(strings.TrimPrefix(live, "https://"))
	must(t, err)
	s := settings{files: tokenFiles}
	if viaProxy {
		board := newSwitchboard(t, map[string]string{host + ":443": host + ":" + port})
		w.line, w.root = newFaultyLine(t, board.addr), "https://"+host
		s.top = fmt.Sprintf("upstream_proxy = \"http://%s\"", w.line.addr)
	} else {
		w.line = newFaultyLine(t, "127.0.0.1:"+port)
		_, port, err = net.SplitHostPort(w.line.addr)
		must(t, err)
		w.root = "https://" + net.JoinHostPort(host, port)
	}
	limit := `timeout = "0"`
	if fault.begin != nil {
		fault.begin(w.line)
	}
	if fault.silent {
		limit = `timeout = "300ms"` // there is no other
	}
	s.tables = fileAudiences + rule(w.root+"/v1/", limit)
	w.b = newTestbed(t, s)
	return w
}

// answer is what the upstream does.
func (w *faultyWorld) answer(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.seen[r.Header.Get("X-Job")]++
	w.mu.Unlock()
	text, _ := payload(2 * half)
	amid := func() {
		if w.fault.amid != nil && !(w.fault.uploads && r.Method == "GET") {
			http.NewResponseController(rw).Flush()
			w.fault.amid(w.line)
		}
	}
	switch r.URL.Path {
	case "/v1/length", "/v1/chunked":
		if r.URL.Path == "/v1/length" {
			rw.Header().Set("Content-Length", fmt.Sprint(len(text)))
		}
		rw.Write(text[:half])
		amid()
		rw.Write(text[half:])
	case "/v1/events":
		rw.Header().Set("Content-Type", "text/event-stream")
		for i := range eventsOfAJob {
			fmt.Fprintf(rw, "data: %d %s\n\n", i, strings.Repeat("x", 1000))
			if i == eventsOfAJob/2 {
				amid()
			}
		}
	case "/v1/digest":
		digest := sha256.New()
		io.CopyN(digest, r.Body, half)
		if w.fault.amid != nil && !w.fault.downloads {
			w.fault.amid(w.line)
		}
		if w.fault.amid != nil {
			select {
			case w.goOn() <- struct{}{}:
			default: // the upload is over, and this was slow
			}
		}
		if _, err := io.Copy(digest, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(rw, "%x", digest.Sum(nil))
	}
}

// goOn returns what lets the second half of an upload be sent.
func (w *faultyWorld) goOn() chan<- struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rest
}

// result is what came of a job.
type result struct {
	whole bool
	told  string // the type of the proxy's own answer, "" for none
	err   error  // of an answer that broke off
}

// do runs a job. What is neither the right answer nor the proxy's own nor seen
// to be broken is a lie, and fails the test.
func (w *faultyWorld) do(t *testing.T, c *http.Client, j job) (got result) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), j.method, w.root+j.path, nil)
	must(t, err)
	req.Header.Set("X-Job", j.name)
	if j.body != nil {
		rest := make(chan struct{}, 1)
		if w.fault.amid == nil {
			close(rest) // there is nothing to wait for
		}
		w.mu.Lock()
		w.rest = rest
		w.mu.Unlock()
		body := &upload{first: bytes.NewReader(j.body[:half]), second: bytes.NewReader(j.body[half:]), may: rest, over: make(chan struct{})}
		defer body.Close()
		req.Body = body
		req.ContentLength = -1
		if j.declared {
			req.ContentLength = int64(len(j.body))
		}
	}
	r, err := trySend(c, req)
	switch {
	case err != nil && isTimeout(err):
		t.Errorf("%s: nothing came: %v", j.name, err)
	case err != nil:
	case r.status == http.StatusOK:
		if got.whole = r.body == j.want; !got.whole {
			t.Errorf("%s: a wrong answer of %d bytes looks whole, the right one has %d", j.name, len(r.body), len(j.want))
		}
	default:
		got.told = strings.TrimPrefix(r.problem(t, r.status).Type, "urn:injectproxy:problem:")
	}
	got.err = err
	return got
}

func isTimeout(err error) bool {
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout()
}

// Whatever the network does on the way to an upstream, the client has the whole
// answer, or knows that it has not: by an answer of the proxy's own, or by a
// body that breaks off. No upload is sent twice, and nothing is kept.
func TestFaultyNetworkIsNeverTakenForAWholeAnswer(t *testing.T) {
	before := takeCensus()
	t.Run("all", func(t *testing.T) {
		for _, way := range []string{"upstream", "upstream proxy"} {
			for _, proto := range []string{"h1", "h2"} {
				for _, fault := range networkFaults {
					t.Run(way+"/"+proto+"/"+fault.name, func(t *testing.T) {
						t.Parallel()
						w := newFaultyWorld(t, proto, way == "upstream proxy", fault)
						for _, j := range jobs() {
							w.meets(t, proto, fault, j)
						}
						w.keepsNothing(t)
					})
				}
			}
		}
	})
	before.restored(t)
}

// meets holds what is true of a job behind the fault.
func (w *faultyWorld) meets(t *testing.T, proto string, fault networkFault, j job) {
	t.Helper()
	got := w.do(t, w.b.client(proto), j)
	upload := j.method == "POST"
	if harmed := !fault.whole && (!fault.uploads || upload) && (!fault.downloads || !upload); harmed == got.whole {
		t.Errorf("%s: %+v", j.name, got)
	}
	if fault.begin != nil && !got.whole && got.told == "" {
		t.Errorf("%s: the client was told nothing: %v", j.name, got.err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// A kept connection may turn out to be dead, which only a GET may follow with
	// a second attempt (RFC 9110, section 9.2.2).
	if n := w.seen[j.name]; n > 2 || n > 1 && upload {
		t.Errorf("%s: sent %d times", j.name, n)
	}
}

// keepsNothing holds that bodies are let go of, and that no answer of an
// upstream was taken for a refusal of the token.
func (w *faultyWorld) keepsNothing(t *testing.T) {
	t.Helper()
	w.b.ended(len(jobs()))
	if n := w.b.current.budget.Held(); n != 0 {
		t.Errorf("%d bytes of bodies are still held", n)
	}
	for name, n := range w.b.stats.All() {
		if n != 0 {
			t.Errorf("%d refusals that were: %s", n, name)
		}
	}
}
