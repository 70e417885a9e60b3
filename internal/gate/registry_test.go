package gate

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestNobodyIsLetInBehindTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, Options{}, "mcp.example", nobody)
		r := &f.work
		ours, theirs := net.Pipe()
		defer ours.Close()
		if !r.enter() {
			t.Fatal("the gate is closed")
		}
		remove, ok := r.add(theirs)
		if !ok {
			t.Fatal("the gate takes no connection")
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- r.drain(over) }()
		if _, err := ours.Read(make([]byte, 1)); err == nil {
			t.Error("the connection was not cut")
		}
		if synctest.Wait(); len(ended) != 0 || r.enter() {
			t.Error("it ended before its handler, or lets another in")
		}
		if _, ok := r.add(ours); ok {
			t.Error("it takes a connection that nobody will cut")
		}
		w := httptest.NewRecorder()
		if !aborts(t, func() { f.ServeHTTP(w, httptest.NewRequest("GET", "http://mcp.example/healthz", nil)) }) {
			t.Errorf("it answers: %d", w.Code)
		}
		time.Sleep(time.Minute)
		remove()
		r.leave()
		if err := <-ended; err != context.Canceled || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
