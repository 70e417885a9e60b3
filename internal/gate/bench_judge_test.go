package gate

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkJudge is what reading and deciding cost a message.
func BenchmarkJudge(b *testing.B) {
	r := deciding()
	for _, size := range []int{0, 64 << 10, 1 << 20} {
		body := []byte(strings.Replace(calling(1, "echo"), `"name"`, `"arguments":{"x":"`+strings.Repeat("x", size)+`"},"name"`, 1))
		b.Run(fmt.Sprint(len(body)), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				m, err := parse(body)
				if err != nil || !r.Judge(m.calls[0].about[0].kind, m.calls[0].about[0].name, nil).Allowed {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScreen is what an event costs on its way to the client: one of
// progress, a list of 100 tools, a result of 1 MiB.
func BenchmarkScreen(b *testing.B) {
	list := `{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a","description":"of a tool","inputSchema":{"type":"object","properties":{"x":{"type":"string"}}}},{"name":"hidden"},`, 50), ",") + `]}}`
	for name, data := range map[string]string{
		"progress": `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":5,"total":10}}`,
		"list":     list,
		"large":    `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 1<<20) + `"}]}}`,
	} {
		event := []byte("data: " + data + "\n\n")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := io.Copy(io.Discard, newScreened(io.NopCloser(bytes.NewReader(event)), hiding(true))); err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
