package session

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// FuzzInitializeAnswer holds that an answer means the same however it is cut,
// and what is true of all that is read from one.
func FuzzInitializeAnswer(f *testing.F) {
	const result = `{"jsonrpc":"2.0","id":"a","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}}}}`
	f.Add([]byte(result), false, uint8(7))
	f.Add([]byte("event: message\r\nid: 1\r\ndata: "+result+"\r\n\r\n"), true, uint8(1))
	f.Add([]byte(": x\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":\"a\",\"result\":{\"protocolVersion\":\"2024-11-05\"}}\n\n"), true, uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, stream bool, step uint8) {
		read := func(step int) (found jsonrpc.Message, n int) {
			r := &reading{id: `"a`, stream: stream, limit: 64 << 10}
			for rest := b; ; {
				p := rest[:min(step, len(rest))]
				rest = rest[len(p):]
				if m, ok := r.write(p, len(rest) == 0); ok {
					found, n = m, n+1
				}
				if len(rest) == 0 {
					break
				}
			}
			if len(b) > 0 && !stream && !r.over {
				t.Fatal("it is read on behind the end")
			}
			return found, n
		}
		whole, n := read(max(1, len(b)))
		cut, times := read(int(step)%16 + 1)
		if n != times || n > 1 || string(whole.Result) != string(cut.Result) {
			t.Fatalf("%q %d times, in pieces %q %d times", whole.Result, n, cut.Result, times)
		}
		u, ok := negotiated(whole)
		if ok && (n == 0 || !sessionful(u.version) || !strings.Contains(string(b), "protocolVersion") && !strings.Contains(string(b), `\u`)) {
			t.Fatalf("%+v out of %q", u, b)
		}
		if len(u.lists) > 3 {
			t.Fatalf("%+v", u)
		}
	})
}

// FuzzTracking holds the bounds and the count of what is remembered of any
// messages, and that it can be sent again.
func FuzzTracking(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}}` + "\n" +
		`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"a","x":1}}`))
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}},{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m memory
		sum := 0
		for line := range strings.SplitSeq(string(b), "\n") {
			fate := fateOf([]byte(line))
			all := messages([]byte(line))
			if len(all) == 0 && fate != stays {
				t.Fatalf("%q is nothing, and not left alone: %d", line, fate)
			}
			for _, msg := range all {
				if msg.Kind == jsonrpc.Response && fate != drop && fate != stays {
					t.Fatalf("a response goes to another session: %q", line)
				}
				sum += m.note(msg)
			}
		}
		held := len(m.level)
		for uri, params := range m.subscriptions {
			held += len(uri) + len(params)
		}
		if sum != m.bytes || held != m.bytes || m.bytes > mostSubscriptionBytes+mostLevel || len(m.subscriptions) > mostSubscriptions {
			t.Fatalf("%d bytes told, %d counted, %d held", sum, m.bytes, held)
		}
		for _, again := range m.messages() {
			sent := again.encode(newID())
			if !utf8.Valid(sent) || !json.Valid(sent) {
				t.Fatalf("%q", sent)
			}
			if got, err := jsonrpc.Parse(sent); err != nil || got.Method != again.method {
				t.Fatalf("%q: %v", sent, err)
			}
		}
	})
}
