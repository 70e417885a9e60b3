package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// BenchmarkStdioCall is a tools/call to a server behind TLS, made by a client
// itself and, in turn, by way of a real injectproxy stdio. It reports what each
// waits at the median, and the difference: what the bridge adds.
func BenchmarkStdioCall(b *testing.B) {
	program := buildProgram(b)
	for _, h2 := range []bool{false, true} {
		b.Run(map[bool]string{false: "proto=h1", true: "proto=h2"}[h2], func(b *testing.B) {
			server := newToolServer(b, h2)
			direct, bridged := newDirect(b, server), newBridge(b, program, server)
			for _, ask := range []func(string) error{direct, bridged} {
				if err := ask(initialize); err != nil {
					b.Fatal(err)
				}
			}
			var waits [2][]time.Duration
			for b.Loop() {
				for i, ask := range []func(string) error{direct, bridged} {
					begun := time.Now()
					if err := ask(toolCall); err != nil {
						b.Fatal(err)
					}
					waits[i] = append(waits[i], time.Since(begun))
				}
			}
			p50 := [2]float64{median(waits[0]), median(waits[1])}
			b.ReportMetric(p50[0], "direct-p50-µs")
			b.ReportMetric(p50[1], "bridged-p50-µs")
			b.ReportMetric(p50[1]-p50[0], "added-p50-µs")
		})
	}
}

// median returns that of waits, in microseconds.
func median(waits []time.Duration) float64 {
	slices.Sort(waits)
	return float64(waits[len(waits)/2]) / float64(time.Microsecond)
}

// buildProgram builds injectproxy as anybody does.
func buildProgram(b *testing.B) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "injectproxy")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", name, "../cmd/injectproxy").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return name
}

const benchToken = "a-token-of-a-benchmark"

// newToolServer is mcpServer behind TLS. It wants the token, and has nothing to
// say unasked.
func newToolServer(b *testing.B, h2 bool) *httptest.Server {
	b.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+benchToken:
			w.WriteHeader(http.StatusUnauthorized)
			return
		case r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		answer(w, r)
	}))
	s.EnableHTTP2 = h2
	s.StartTLS()
	b.Cleanup(s.Close)
	return s
}

// answer answers a message that has an id.
func answer(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	result := `{"content":[]}`
	if m.Method == "initialize" {
		w.Header().Set(sessionHeader, "a-session-of-a-benchmark")
		result = `{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"bench","version":"1"}}`
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// newDirect returns what asks the server as a client of its own.
func newDirect(b *testing.B, s *httptest.Server) func(message string) error {
	c := s.Client()
	return func(message string) error {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL+"/mcp", bytes.NewReader([]byte(message)))
		if err != nil {
			return err
		}
		req.Header = http.Header{
			"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}, sessionHeader: {"a-session-of-a-benchmark"},
			"Authorization": {"Bearer " + benchToken}, "Mcp-Protocol-Version": {"2025-06-18"},
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || !bytes.Contains(body, []byte(`"result"`)) {
			return fmt.Errorf("%s: %s (%v)", res.Status, body, err)
		}
		return nil
	}
}

// newBridge starts the program and returns what asks the server by way of it.
func newBridge(b *testing.B, program string, s *httptest.Server) func(message string) error {
	b.Helper()
	home := b.TempDir()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	config := fmt.Sprintf(`
upstream_proxy = "direct"
upstream_ca = ["root.pem"]
[audience.server]
token_file = "token"
[[rule]]
prefix = %q
audience = "server"
kind = "mcp"
`, s.URL+"/mcp")
	for name, content := range map[string]string{"config.toml": config, "root.pem": string(root), "token": benchToken} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "stdio", s.URL+"/mcp")
	cmd.Env = append(os.Environ(), "INJECTPROXY_HOME="+home)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
		cancel()
	})
	lines := bufio.NewReader(out)
	return func(message string) error {
		if _, err := io.WriteString(in, message+"\n"); err != nil {
			return err
		}
		line, err := lines.ReadBytes('\n')
		if err != nil || !bytes.Contains(line, []byte(`"result"`)) {
			return fmt.Errorf("%s (%v)", line, err)
		}
		return nil
	}
}
