package gate

import (
	"io"
	"runtime"
	"testing"
	"time"
)

// BenchmarkIdleStream tells what it costs to keep a stream on which nothing is
// said, beside its connections.
func BenchmarkIdleStream(b *testing.B) {
	const streams = 5000
	b.ReportAllocs()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var open []*stream
		for range streams {
			src, up := io.Pipe()
			s := newStream(src, time.Now().Add(time.Hour))
			go func() { _, _ = io.WriteString(up, "data: 1\n\n") }()
			if _, err := s.Read(make([]byte, 64)); err != nil {
				b.Fatal(err)
			}
			s.asked = true
			s.more <- struct{}{}
			open = append(open, s)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/streams, "B/stream")
		for _, s := range open {
			s.Close()
		}
	}
}

// BenchmarkEventThroughAStream tells how long an event takes on its way.
func BenchmarkEventThroughAStream(b *testing.B) {
	src, up := io.Pipe()
	s := newStream(src, time.Now().Add(time.Hour))
	defer s.Close()
	defer up.Close()
	event := []byte("event: message\nid: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n")
	next := make(chan struct{})
	defer close(next)
	go func() {
		for range next {
			_, _ = up.Write(event)
		}
	}()
	buf := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		next <- struct{}{}
		if _, err := s.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
