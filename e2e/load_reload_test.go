package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestTwoHundredReloadsUnderLoad: no request is lost and no stream ends, and
// of the configurations that were in use nothing is left.
func TestTwoHundredReloadsUnderLoad(t *testing.T) {
	thorough(t)
	t.Parallel()
	l := newLoad(t, "1s")
	reload := func(i int) {
		was := l.vitals().reloads
		writeFile(t, filepath.Join(l.p.home, "config.toml"), fmt.Sprintf("%s[[rule]]\nprefix = %q\naudience = \"a\"\n", l.p.config, fmt.Sprintf("%s/v%d/", l.url, 2+i)))
		l.p.process.Signal(syscall.SIGHUP)
		l.until("a change of the configuration", func(v vitals) bool { return v.reloads > was })
	}
	for i := range 20 {
		reload(i)
	}
	l.listen(5 * perConnection).leave()
	before, err := l.rested(vitals{goroutines: 1 << 20, descriptors: 1 << 20, heap: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	a := l.listen(5 * perConnection)
	stop := l.requests(8)
	const reloads = 200
	for i := range reloads {
		reload(i)
	}
	sent, answered := stop()
	if sent != answered || sent < reloads {
		t.Errorf("%d requests were sent and %d answered", sent, answered)
	}
	l.server("/tick") // what began under the first of them is still there
	a.each("data: tick")
	a.leave()
	before.goroutines += 40 // of connections to the server that are kept for a while
	before.descriptors += 20
	before.heap += 3 << 20
	after, err := l.rested(before)
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
	t.Logf("%d requests; before: %v; afterwards: %v", sent, before, after)
}

// requests has n clients upload one thing after the other, and be answered,
// until stop is called.
func (l *load) requests(n int) (stop func() (sent, answered int64)) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var clients sync.WaitGroup
	var sent, answered atomic.Int64
	body := bytes.Repeat([]byte("body"), 1<<10)
	for i := range n {
		h := l.client(i%2 == 0)
		clients.Go(func() {
			defer h.CloseIdleConnections()
			for ctx.Err() == nil {
				sent.Add(1)
				res, err := request(l.t.Context(), h, "POST", l.url+"/v1/digest", body, 200)
				if err != nil {
					l.t.Error(err)
					continue
				}
				if got, err := io.ReadAll(res.Body); err == nil && string(got) == digestOf(body) {
					answered.Add(1)
				}
				res.Body.Close()
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		clients.Wait()
		return sent.Load(), answered.Load()
	}
}
