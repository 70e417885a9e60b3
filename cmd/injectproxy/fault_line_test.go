package main

import (
	"net"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// faultyLine passes connections on to an address, with Toxiproxy's toxics in
// between. Its own plumbing is missing here: it leaves goroutines behind each
// connection that a toxic has ended.
type faultyLine struct {
	addr string
	to   string

	mu     sync.Mutex
	toxic  [2]toxics.Toxic // of connections to come: towards the address, and back
	links  map[*link]bool  // that are open
	count  int             // connections so far
	closed bool
	ending sync.WaitGroup
}

// link is a connection in both directions.
type link struct {
	ends  [2]*net.TCPConn // of who dialled, and of the address
	stubs [2]*toxics.ToxicStub
	toxic [2]toxics.Toxic      // at first
	next  [2]chan toxics.Toxic // what takes its place
}

// towards and back are the directions of a line.
const (
	towards = iota
	back
)

// newFaultyLine returns a line to address that passes all on.
func newFaultyLine(t testing.TB, address string) *faultyLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &faultyLine{addr: l.Addr().String(), to: address, links: map[*link]bool{}}
	f.set(new(toxics.NoopToxic), towards, back)
	f.ending.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.open(c.(*net.TCPConn))
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.cut()
		f.ending.Wait()
	})
	return f
}

// set gives connections to come a toxic in the named directions.
func (f *faultyLine) set(toxic toxics.Toxic, directions ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range directions {
		f.toxic[d] = toxic
	}
}

// infect gives connections that are open a toxic in the named directions.
func (f *faultyLine) infect(toxic toxics.Toxic, directions ...int) {
	for _, l := range f.all() {
		for _, d := range directions {
			if l.stubs[d].InterruptToxic() {
				l.next[d] <- toxic
			}
		}
	}
}

// all returns the open connections.
func (f *faultyLine) all() (links []*link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.links {
		links = append(links, l)
	}
	return links
}

// opened returns how many connections there have been.
func (f *faultyLine) opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// cut ends all connections.
func (f *faultyLine) cut() {
	for _, l := range f.all() {
		l.ends[0].Close()
		l.ends[1].Close()
	}
}

func (f *faultyLine) open(near *net.TCPConn) {
	far, err := net.Dial("tcp", f.to)
	if err != nil {
		near.Close()
		return
	}
	l := &link{ends: [2]*net.TCPConn{near, far.(*net.TCPConn)}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		near.Close()
		far.Close()
		return
	}
	l.toxic = f.toxic
	f.links[l] = true
	f.count++
	var both sync.WaitGroup
	for d := range l.ends {
		l.run(d, &both)
	}
	f.ending.Go(func() {
		both.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.links, l)
	})
}

// run starts one direction, in which three goroutines follow one another: what
// reads, what does harm, what writes. When one ends, the other two do.
func (l *link) run(d int, running *sync.WaitGroup) {
	in, out := make(chan *stream.StreamChunk, 1024), make(chan *stream.StreamChunk)
	stub := toxics.NewToxicStub(in, out)
	l.stubs[d] = stub
	src, dst := l.ends[d], l.ends[1-d]
	running.Go(func() {
		defer close(in)
		w := stream.NewChanWriter(in)
		buffer := make([]byte, 32<<10)
		for {
			n, err := src.Read(buffer)
			if n > 0 {
				w.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	})
	l.next[d] = make(chan toxics.Toxic)
	running.Go(func() {
		for toxic := l.toxic[d]; ; toxic = <-l.next[d] {
			if _, ok := toxic.(*toxics.ResetToxic); ok {
				src.SetLinger(0)
				dst.SetLinger(0)
			}
			stub.State = &toxics.LimitDataToxicState{}
			stub.Run(&toxics.ToxicWrapper{Toxic: toxic, Toxicity: 1})
			if stub.Closed() {
				break
			}
		}
		for range in { // what comes too late, so that the reader is not stuck
		}
	})
	running.Go(func() {
		for chunk := range out {
			dst.Write(chunk.Data) // if it fails, so will the read from it
		}
		src.Close()
		dst.Close()
	})
}
