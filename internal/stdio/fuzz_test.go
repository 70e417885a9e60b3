package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// FuzzBridge has a client say what it likes to a server that says what it likes
// before it answers. Whatever that is, each line that the client hears is one
// message, and each request whose id can be read has one answer.
func FuzzBridge(f *testing.F) {
	f.Add([]byte(ask("1", "m")), []byte(did("1", "m")))
	f.Add([]byte(begin+"\r\n"+saidBegun+"\n["+ask("1", "m")+","+ask("1.0", "m")+"]"), []byte("["+elicit+","+progress+"]"))
	f.Add([]byte(tool+"\n"+withdrawn("1")+"\n"+modern+"\n"+elicited), []byte("{\n\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}"))
	f.Fuzz(func(t *testing.T, in, said []byte) {
		if bytes.Count(in, []byte("["))+bytes.Count(in, []byte("{")) > mostDepth {
			return
		}
		server := &fake{asking: func(_ context.Context, f *fake, c *call) error {
			f.deliver(bytes.Clone(said), c)
			return f.answer(c)
		}}
		b := newBridge(Options{ToolTimeout: time.Hour, Tools: func(name string) bool { return name != "secret" }}, func(b *Bridge) upstream {
			server.deliver = b.deliver
			return server
		})
		var out bytes.Buffer
		ctx, stop := context.WithTimeout(context.Background(), hang)
		defer stop()
		start := time.Now()
		if err := b.Run(ctx, bytes.NewReader(in), &out); err != nil || ctx.Err() != nil || server.ends != 1 {
			t.Fatalf("%v, %d ends", err, server.ends)
		}
		got := map[string]int{}
		for line := range strings.Lines(out.String()) {
			m, err := jsonrpc.Parse([]byte(line))
			if err != nil || m.Kind == jsonrpc.Batch || strings.Contains(line, "\r") {
				t.Fatalf("%q: %v", line, err)
			}
			if m.Kind == jsonrpc.Response {
				got[keyOf(m.ID)]++
			}
		}
		want := wanted(in)
		for key, n := range got {
			if n > want[key] {
				t.Errorf("%d answers for %d of %q", n, want[key], key)
			}
		}
		if bytes.Contains(in, []byte("cancelled")) || bytes.Contains(in, []byte(`\u`)) || time.Since(start) >= lastAnswers {
			return // who withdraws a request may get no answer
		}
		for key, n := range want {
			if n > got[key] {
				t.Errorf("%d answers for %d of %q", got[key], n, key)
			}
		}
	})
}

// wanted counts the requests in the input, by their id.
func wanted(in []byte) map[string]int {
	want := map[string]int{}
	in = bytes.TrimPrefix(in, byteOrderMark)
	for line := range bytes.Lines(in) {
		var elements []json.RawMessage
		if line = bytes.TrimSpace(line); !json.Valid(line) {
			continue
		}
		if json.Unmarshal(line, &elements) != nil || elements == nil {
			elements = []json.RawMessage{line}
		} else if !utf8.Valid(line) {
			continue // as a whole
		}
		for _, e := range elements {
			if id := idOf(e); id != nil {
				want[keyOf(id)]++
			}
		}
	}
	return want
}

// idOf returns the id of what is a request, or can be nothing else.
func idOf(b []byte) (id json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil
	}
	count := map[string]int{}
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		if count[name.(string)]++; name == "id" {
			id = value
		}
	}
	switch {
	case count["id"] != 1, len(id) > 4<<10, !utf8.Valid(id), id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		return nil
	case count["method"] == 0 && count["result"]+count["error"] > 0:
		return nil
	}
	return id
}

// FuzzGlance holds that a glance sees what Parse reads, in however many pieces
// it comes, and holds on to little.
func FuzzGlance(f *testing.F) {
	f.Add([]byte(tool), 3)
	f.Add([]byte(`{"a":[{"id":1},"}"],"id" : "\"","method":"m"}`), 1)
	f.Add([]byte(`{"id":1,"result":{}}`), 100)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		g := glanceAt(b)
		pieces := &glance{}
		for rest := b; len(rest) > 0; {
			n := min(max(cut, 1), len(rest))
			pieces.see(rest[:n])
			rest = rest[n:]
		}
		id, ok := g.request()
		if again, same := pieces.request(); same != ok || !bytes.Equal(id, again) {
			t.Fatalf("%q, %v; in pieces %q, %v", id, ok, again, same)
		}
		if len(g.name)+len(g.seen)+len(g.id) > 3*(mostSeen+1) {
			t.Fatalf("%d, %d and %d bytes are held", len(g.name), len(g.seen), len(g.id))
		}
		if m, err := jsonrpc.Parse(b); err == nil && m.Kind == jsonrpc.Request && (!ok || !bytes.Equal(id, m.ID)) {
			t.Fatalf("%q, %v, want %q", id, ok, m.ID)
		}
		if json.Valid(b) && ok != (idOf(b) != nil) {
			t.Fatalf("%q, %v, want %q", id, ok, idOf(b))
		}
	})
}
