package telemetry

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLibraryLog(t *testing.T) {
	tests := []struct{ name, message, level, want string }{
		{"progress", "[001] INFO: Got request /p h GET http://h/p?code=" + canary, "DEBUG", "[001] INFO: Got request /p h GET http://h/p?[redacted]"},
		{"path alone", "[001] INFO: req /p?code=" + canary + " x", "DEBUG", "[001] INFO: req /p?[redacted] x"},
		{"complaint", "[001] WARN: Cannot hijack connection: y\n", "WARN", "[001] WARN: Cannot hijack connection: y"},
		{"proxy credential", "[001] WARN: dialing http://u:" + canary + "@p:1: refused", "WARN", "[001] WARN: dialing http://[redacted]@p:1: refused"},
		{"handshake", "http: TLS handshake error from 127.0.0.1:9: remote error: tls: unknown certificate authority", "DEBUG", ""},
		{"superfluous", "http: superfluous response.WriteHeader call from main.x (y.go:1)", "DEBUG", ""},
		{"client left", "[002] WARN: Error copying to client: write tcp: broken pipe", "DEBUG", ""},
		{"out of descriptors", "http: Accept error: accept tcp 127.0.0.1:1: accept4: too many open files; retrying in 5ms", "WARN", ""},
		{"panic on a broken pipe", "http: panic serving 127.0.0.1:9: broken pipe", "ERROR", ""},
		{"panic on HTTP/2", "http2: panic serving 127.0.0.1:9: x", "ERROR", ""},
		{"forged line", "x\nlevel=ERROR msg=forged", "WARN", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer // no masking of its own
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			LibraryLog(log, "goproxy").Printf("%s", tt.message)
			if strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), canary) {
				t.Errorf("wrote %s", &out)
			}
			_, got := textPairs(t, strings.TrimSpace(out.String()))
			if want := tt.want; got["level"] != tt.level || want != "" && got["msg"] != want || got["library"] != "goproxy" {
				t.Errorf("wrote %s", &out)
			}
		})
	}
}

// A handler that panics is one record, with the stack in it.
func TestLogHearsOnceAMinuteThatNothingCanBeAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLogger(t, "warn", "text")
		library := LibraryLog(log, "net/http")
		for range 150 {
			library.Print("http: Accept error: accept4: too many open files; retrying in 1s")
			time.Sleep(time.Second)
		}
		library.Print("http: another complaint")
		if n := strings.Count(out.String(), "too many open files"); n != 3 || !strings.Contains(out.String(), "another complaint") {
			t.Errorf("%d lines in 150 seconds:\n%s", n, out)
		}
	})
}

func TestPanicInAHandlerIsOneRecord(t *testing.T) {
	log, out := newLogger(t, "info", "text")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("Bearer " + canary) }))
	s.Config.ErrorLog = LibraryLog(log, "net/http")
	s.Start()
	if resp, err := s.Client().Get(s.URL); err == nil {
		resp.Body.Close()
		t.Error("answered")
	}
	s.Close() // waits for the connection, and so for the log
	_, got := textPairs(t, strings.TrimSpace(out.String()))
	if strings.Count(out.String(), "\n") != 1 || got["level"] != "ERROR" || !strings.Contains(got["stack"], "TestPanicInAHandler") {
		t.Errorf("wrote %s", out)
	}
	if strings.Contains(out.String(), canary) {
		t.Errorf("the secret is in the log: %s", out)
	}
}
