package proxy

import (
	"fmt"
	"strings"
	"testing"
)

const benchHead = "GET /servers/a?x=1 HTTP/1.1\r\nHost: mcp.corp.example\r\nUser-Agent: python-httpx/0.28.1\r\nAccept: application/json, text/event-stream\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\nContent-Type: application/json\r\nMcp-Session-Id: 1868a90c-9f2d-4a5b-8c1d-000000000000\r\n" +
	"Mcp-Protocol-Version: 2025-06-18\r\nCookie: a=0123456789012345678901234567890123456789012345678901234567890123456789\r\nX-Request-Id: 0123456789\r\n\r\n"

func BenchmarkFraming(b *testing.B) {
	chunked := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", 4096, strings.Repeat("x", 4096)), 16) + "0\r\n\r\n"
	for name, request := range map[string]string{"a header of ten fields": benchHead, "64 KiB in chunks": chunked} {
		b.Run(name, func(b *testing.B) {
			bytes := []byte(request)
			b.SetBytes(int64(len(bytes)))
			b.ReportAllocs()
			var f framing
			for b.Loop() {
				if _, err := f.pass(bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
