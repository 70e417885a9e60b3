package stdio

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkCall takes turns between a call through a bridge and the same POST
// made directly, by the same Route to the same server, and reports the medians
// and their difference: what the bridge adds, without the pipes of a process.
func BenchmarkCall(b *testing.B) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, kind := range []string{typeJSON, typeStream} {
			b.Run(proto+"/"+kind, func(b *testing.B) { benchmarkCall(b, proto, kind) })
		}
	}
}

func benchmarkCall(b *testing.B, proto, kind string) {
	f := newFar(b, proto, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		if kind == typeStream {
			io.WriteString(w, "data: "+result(1)+"\n\n")
			return
		}
		io.WriteString(w, result(1))
	})
	in, client := io.Pipe()
	answers, out := io.Pipe()
	bridge := New(Options{URL: f.s.o.URL, Route: f.route.RoundTripper, Transport: HTTP})
	over := make(chan error)
	go func() { over <- bridge.Run(b.Context(), in, out) }()
	lines := bufio.NewReader(answers)
	line := []byte(request(1, "tools/call") + "\n")
	call := func() {
		if _, err := client.Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := lines.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
	direct := func() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, f.s.o.URL.String(), bytes.NewReader(line))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", typeJSON)
		req.Header.Set("Accept", typeJSON+", "+typeStream)
		res, err := f.route.RoundTripper.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	var bridged, plain []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begun := time.Now()
		direct()
		mid := time.Now()
		call()
		plain, bridged = append(plain, mid.Sub(begun)), append(bridged, time.Since(mid))
	}
	client.Close()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
	report := func(what string, d time.Duration) { b.ReportMetric(float64(d.Microseconds()), what+"-p50-µs") }
	median := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	report("direct", median(plain))
	report("bridged", median(bridged))
	report("added", median(bridged)-median(plain))
}
