package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Streams that a proxy ended take no memory, and look cheap.
func TestSilentStreamThatEndsIsAnError(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(": open\n\n")) }))
	defer up.Close()
	s := &streams{work: work{name: "idle", kind: idle, clients: 3}, clients: []*http.Client{up.Client()}, url: up.URL}
	s.open(context.Background())
	tally := s.wait()
	if tally.err() == nil {
		t.Error("the server has ended all streams, and the measurement counts")
	}
}
