package proxy

import (
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
)

const (
	// bound is what a body may cost in memory at any moment, for client,
	// proxy and upstream together: they share this process.
	bound = 64 << 20
	// churn is how much of its size a body may cost in all allocations.
	churn = 0.25
)

// volume is the size of a body: a GiB, but less where time is short and
// another has shown it already, and little under the race detector, which is
// ten times slower and empties the pools that allocations come from.
func volume(proto string, known bool) int64 {
	switch {
	case raceDetector:
		return 16 << 20
	case os.Getenv("INJECTPROXY_REQUIRE_ALL") != "", proto == "h1" && known && !testing.Short():
		return 1 << 30
	}
	return 128 << 20
}

// blocks is an endless repetition of one random megabyte, at a shift that
// changes, so that a block lost, doubled or moved shows in the sum.
type blocks struct {
	data []byte
	at   int
}

func newBlocks() *blocks {
	b := &blocks{data: make([]byte, 1<<20+1)} // the length is odd: no buffer's size divides it
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b.data {
		b.data[i] = byte(r.Uint32())
	}
	return b
}

func (b *blocks) Read(p []byte) (int, error) {
	n := copy(p, b.data[b.at:])
	b.at = (b.at + n) % len(b.data)
	return n, nil
}

// sum reads r to its end and returns its length and checksum.
func sum(r io.Reader) string {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 256<<10))
	return fmt.Sprintf("%d bytes, sum %08x, error %v", n, h.Sum32(), err)
}

// peak watches the heap each time some bytes have passed.
type peak struct {
	io.Reader
	passed, highest uint64
}

const samples = 4 << 20

func (p *peak) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if before := p.passed / samples; (p.passed+uint64(n))/samples != before {
		p.highest = max(p.highest, heap())
	}
	p.passed += uint64(n)
	return n, err
}

// heap returns how much memory objects hold at the moment.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func TestLargeBodiesPassInBoundedMemory(t *testing.T) {
	origins := newOrigins(t)
	for _, proto := range []string{"h1", "h2"} {
		authority := origins.startUpstream(t, "api.test", proto, http.HandlerFunc(bulk))
		r := rigTo(t, origins, authority, proto)
		for _, known := range []bool{true, false} {
			size := volume(proto, known)
			t.Run(fmt.Sprintf("%s up, length known %v", proto, known), func(t *testing.T) {
				body := &peak{Reader: io.LimitReader(newBlocks(), size)}
				bounded(t, body, size, func() string {
					req := r.request("PUT", "", body)
					req.ContentLength = -1
					if known {
						req.ContentLength = size
					}
					got, _ := io.ReadAll(r.do(req).Body)
					return string(got)
				})
			})
			t.Run(fmt.Sprintf("%s down, length known %v", proto, known), func(t *testing.T) {
				body := new(peak)
				bounded(t, body, size, func() string {
					body.Reader = r.do(r.request("GET", fmt.Sprintf("?size=%d&known=%v", size, known), nil)).Body
					return sum(body)
				})
			})
		}
	}
}

// bulk sends as much as a GET asks for, and the sum of any other request's body
// back.
func bulk(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		io.WriteString(w, sum(r.Body))
		return
	}
	size, _ := strconv.ParseInt(r.FormValue("size"), 10, 64)
	if r.FormValue("known") == "true" {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	io.Copy(w, io.LimitReader(newBlocks(), size))
}

// bounded runs f, which moves body, and compares what it returns.
func bounded(t *testing.T, body *peak, size int64, f func() string) {
	t.Helper()
	want := sum(io.LimitReader(newBlocks(), size))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := f(); got != want {
		t.Errorf("arrived: %s, want %s", got, want)
	}
	runtime.ReadMemStats(&after)
	if body.passed < uint64(size) || body.highest == 0 {
		t.Fatalf("watched %d bytes only", body.passed)
	}
	held := int64(body.highest) - int64(before.HeapAlloc)
	if held > bound {
		t.Errorf("%d MiB were held at once", held>>20)
	}
	allocated := after.TotalAlloc - before.TotalAlloc
	if float64(allocated) > churn*float64(size) && !raceDetector {
		t.Errorf("%d MiB were allocated for a body of %d MiB", allocated>>20, size>>20)
	}
	t.Logf("held %d KiB more at most, allocated %d KiB", held>>10, allocated>>10)
}
